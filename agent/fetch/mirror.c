#include "agent/fetch/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/fetch/tree.h"
#include "base/durable.h"

#define FETCHED "refs/klystrr/fetched"

/* Written anew each time: nothing that stood there before has a say. */
static const char config[] = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
                             "\tprotectHFS = true\n\tprotectNTFS = true\n\thooksPath = /dev/null\n"
                             "[fetch]\n\trecurseSubmodules = false\n";

/* What a killed fetch leaves behind. */
static void drop_remains(int folder)
{
    static const char *const locks[] = {"config.lock", "HEAD.lock", "packed-refs.lock", FETCHED ".lock"};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        (void)unlinkat(folder, locks[i], 0);
    int packs = openat(folder, "objects/pack", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = packs >= 0 ? fdopendir(packs) : NULL;
    if (dir == NULL) {
        cleanup_close(&packs);
        return;
    }
    const struct dirent *next;
    while ((next = readdir(dir)) != NULL)
        if (strncmp(next->d_name, "pack_git2_", 10) == 0 || strncmp(next->d_name, "tmp_", 4) == 0)
            (void)unlinkat(packs, next->d_name, 0);
    closedir(dir);
}

static int make_anew(int folder, const char *path, git_repository **repo, struct error *err)
{
    uint64_t removed, left;
    if (tree_clear(folder, &removed, &left, err) < 0)
        return -1;
    if (left > 0)
        return fail(err, "E_DISK", "the mirror is broken, and %llu of its files cannot be removed", (unsigned long long)left);
    git_repository_init_options how;
    (void)git_repository_init_options_init(&how, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    how.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKDIR;
    int result = git_repository_init_ext(repo, path, &how);
    return result < 0 ? session_fail(NULL, result, "E_DISK", "the mirror cannot be made", err) : 0;
}

/* *fresh: it was made anew. */
static int open_mirror(const char *path, git_repository **repo, bool *fresh, struct error *err)
{
    int made = durable_dir(path, 0700, err);
    if (made < 0)
        return -1;
    close(made);
    AUTO_CLOSE int folder = tree_open(path, err);
    if (folder < 0)
        return -1;
    drop_remains(folder);
    *fresh = false;
    if (faccessat(folder, "objects", F_OK, 0) == 0 &&
        durable_replace(folder, "config", config, sizeof config - 1, 0600, err) == 0 &&
        git_repository_open_bare(repo, path) == 0)
        return 0;
    *fresh = true;
    if (make_anew(folder, path, repo, err) < 0)
        return -1;
    return durable_replace(folder, "config", config, sizeof config - 1, 0600, err);
}

static int not_there(const struct mirror_wish *wish, struct error *err)
{
    return fail(err, "E_GIT_COMMIT", "commit %s is not in the history of %s: push it there first", wish->commit, wish->ref);
}

static int find_commit(git_repository *repo, const struct mirror_wish *wish, git_commit **out, struct error *err)
{
    const char *hex = wish->commit;
    git_oid id;
    if (strlen(hex) != GIT_OID_HEXSZ || git_oid_fromstr(&id, hex) < 0)
        return fail(err, "E_GIT_COMMIT", "'%s' is no SHA-1 commit; repositories with SHA-256 are not supported yet", hex);
    int result = git_commit_lookup(out, repo, &id);
    if (result == GIT_ENOTFOUND)
        return not_there(wish, err);
    return result < 0 ? session_fail(NULL, result, "E_GIT_OBJECT", "the commit cannot be read", err) : 0;
}

/* 1 if `old` is `young` or an ancestor of it. */
static int is_ancestor(git_repository *repo, const git_oid *old, const git_oid *young, struct error *err)
{
    if (git_oid_equal(old, young))
        return 1;
    int result = git_graph_descendant_of(repo, young, old);
    return result < 0 ? session_fail(NULL, result, "E_GIT_OBJECT", "the history cannot be read", err) : result;
}

static int check_commit(git_repository *repo, const struct mirror_wish *wish, git_commit **out, struct error *err)
{
    git_reference *ref = NULL;
    git_object *tip = NULL;
    int result = git_reference_lookup(&ref, repo, FETCHED);
    if (result == 0)
        result = git_reference_peel(&tip, ref, GIT_OBJECT_COMMIT);
    git_reference_free(ref);
    if (result < 0)
        return session_fail(NULL, result, "E_GIT_OBJECT", "the ref's tip is no commit", err);
    int known = find_commit(repo, wish, out, err);
    if (known == 0)
        known = is_ancestor(repo, git_commit_id(*out), git_object_id(tip), err);
    else
        known = -1;
    git_object_free(tip);
    if (known == 0)
        return not_there(wish, err);
    return known < 0 ? -1 : 0;
}

static int check_since(git_repository *repo, const struct mirror_wish *wish, const git_commit *commit, struct error *err)
{
    git_oid since;
    if (wish->since == NULL)
        return 0;
    if (strlen(wish->since) != GIT_OID_HEXSZ || git_oid_fromstr(&since, wish->since) < 0)
        return fail(err, "E_GIT_SINCE", "source.since is no commit");
    git_commit *found = NULL;
    int known = git_commit_lookup(&found, repo, &since);
    git_commit_free(found);
    known = known < 0 ? 0 : is_ancestor(repo, &since, git_commit_id(commit), err);
    if (known == 0)
        return fail(err, "E_GIT_SINCE", "commit %s is no descendant of %s (source.since)", wish->commit, wish->since);
    return known < 0 ? -1 : 0;
}

static int update_once(struct session *s, const struct mirror_wish *wish, git_repository *repo, git_commit **commit,
                       struct error *err)
{
    git_oid tip;
    if (session_connect(s, repo, wish->ref, &tip, err) < 0 || session_download(s, wish->ref, err) < 0 ||
        check_commit(repo, wish, commit, err) < 0)
        return -1;
    return check_since(repo, wish, *commit, err);
}

/* Failures that a mirror damaged by a crash explains. */
static bool may_be_damage(const struct error *err)
{
    return strcmp(err->code, "E_GIT_FETCH") == 0 || strcmp(err->code, "E_GIT_OBJECT") == 0 ||
           strcmp(err->code, "E_GIT_COMMIT") == 0;
}

int mirror_update(struct session *s, const struct mirror_wish *wish, git_repository **repo, git_commit **commit,
                  struct error *err)
{
    bool fresh;
    *repo = NULL;
    *commit = NULL;
    if (open_mirror(wish->folder, repo, &fresh, err) < 0)
        return -1;
    if (update_once(s, wish, *repo, commit, err) == 0)
        return 0;
    if (fresh || s->why.code[0] != '\0' || !may_be_damage(err))
        return -1;
    printf("the mirror may be damaged, fetching all of it again\n");
    session_disconnect(s);
    git_commit_free(*commit);
    git_repository_free(*repo);
    *commit = NULL;
    *repo = NULL;
    AUTO_CLOSE int folder = tree_open(wish->folder, err);
    if (folder < 0 || make_anew(folder, wish->folder, repo, err) < 0)
        return -1;
    return update_once(s, wish, *repo, commit, err);
}
