#include "agent/agent/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "ipc/record.h"

#define SLOT_MAGIC    0x314a594bu /* "KYJ1" */
#define WITNESS_MAGIC 0x3157594bu
#define SLOT_VERSION  1u
static const char *const slot_names[2] = {"slot-a", "slot-b"};
static const char witness_name[] = "generation";

struct slot {
    uint32_t magic, version, size, crc; /* crc of what follows */
    uint64_t generation;
    struct journal_state state;
};
struct witness {
    uint32_t magic, crc;
    uint64_t generation;
};

struct journal {
    int slots[2], witness;
    struct slot now;            /* state is what journal_state shows */
    struct journal_state saved; /* what is durable */
};

/* CRC-32 (ISO 3309), a byte at a time. */
static uint32_t crc32_of(const void *data, size_t size)
{
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = (table[i] >> 1) ^ (0xedb88320u & (0u - (table[i] & 1)));
    }
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++)
        crc = (crc >> 8) ^ table[(crc ^ p[i]) & 0xff];
    return ~crc;
}

static uint32_t slot_crc(const struct slot *slot)
{
    return crc32_of(&slot->generation, sizeof *slot - offsetof(struct slot, generation));
}

static bool live_ok(const struct journal_live *live)
{
    return live->app_count <= JOURNAL_APPS_MAX && IPC_TEXT_OK(live->release) && IPC_TEXT_OK(live->deployment);
}

static bool project_ok(const struct journal_project *p)
{
    const struct journal_running *r = &p->running;
    if (!IPC_TEXT_OK(p->name) || !IPC_TEXT_OK(p->pending) || p->release_count > JOURNAL_RELEASES_MAX || !live_ok(&p->live) || !live_ok(&r->old))
        return false;
    return r->app_count <= JOURNAL_APPS_MAX && IPC_TEXT_OK(r->deployment) && IPC_TEXT_OK(r->commit) &&
           IPC_TEXT_OK(r->release) && IPC_TEXT_OK(r->code) && IPC_TEXT_OK(r->text);
}

static bool slot_ok(const struct slot *slot)
{
    if (slot->magic != SLOT_MAGIC || slot->version != SLOT_VERSION || slot->size != sizeof *slot ||
        slot->crc != slot_crc(slot) || slot->state.project_count > JOURNAL_PROJECTS_MAX)
        return false;
    for (uint32_t i = 0; i < slot->state.project_count; i++)
        if (!project_ok(&slot->state.projects[i]))
            return false;
    return true;
}

static bool read_exact(int fd, void *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)out + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_exact(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return fdatasync(fd) == 0;
}

/* A file of this user alone, opened or (size > 0) made with all its blocks, so that a full disk never stops a commit. */
static int open_file(int dirfd, const char *name, size_t size, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (size > 0 ? O_CREAT : 0);
    AUTO_CLOSE int fd = openat(dirfd, name, flags, 0600);
    if (fd < 0)
        return fail_errno(err, "E_JOURNAL", errno, "the journal's %s could not be opened", name);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return fail(err, "E_PERM", "the journal's %s belongs to somebody else or is open to others", name);
    if (size > 0) {
        int why = posix_fallocate(fd, 0, (off_t)size);
        if (why != 0)
            return fail_errno(err, "E_JOURNAL", why, "there is no room for the journal");
    }
    return take_fd(&fd);
}

struct found {
    bool there;        /* any of the files exists */
    bool witnessed;    /* the third file is good */
    uint64_t witness;
    int best;          /* the good slot with the highest generation, or -1 */
    bool other_good;
    struct slot *slot; /* of best */
};

static void look(int dirfd, struct slot *room, struct found *out)
{
    *out = (struct found){.best = -1, .slot = &room[0]};
    bool good[2];
    for (int i = 0; i < 2; i++) {
        AUTO_CLOSE int fd = openat(dirfd, slot_names[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        out->there = out->there || fd >= 0 || errno != ENOENT;
        good[i] = fd >= 0 && read_exact(fd, &room[i], sizeof room[i]) && slot_ok(&room[i]);
    }
    AUTO_CLOSE int fd = openat(dirfd, witness_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    out->there = out->there || fd >= 0 || errno != ENOENT;
    struct witness w;
    out->witnessed = fd >= 0 && read_exact(fd, &w, sizeof w) && w.magic == WITNESS_MAGIC &&
                     w.crc == crc32_of(&w.generation, sizeof w.generation);
    out->witness = out->witnessed ? w.generation : 0;
    if (good[0] || good[1])
        out->best = !good[1] || (good[0] && room[0].generation > room[1].generation) ? 0 : 1;
    out->other_good = good[0] && good[1];
    if (out->best == 1)
        out->slot = &room[1];
}

/* A torn slot may be told from a bad one only by the witness, and a torn witness only by two good slots. */
static int judge(const struct found *found, bool fresh, struct error *err)
{
    if (!found->there)
        return fresh ? 0
                     : fail(err, "E_STATE_LOST", "the journal is gone although documents were accepted here: nothing is "
                                                 "deployed until root says 'klystrr trust reset'");
    if (found->best < 0 || (!found->witnessed && !found->other_good))
        return fail(err, "E_STATE_CORRUPT", "the journal cannot be read: nothing is deployed until root says "
                                            "'klystrr trust reset'");
    if (found->witnessed && found->slot->generation < found->witness)
        return fail(err, "E_STATE_OLD", "the journal is older than what was reached here: nothing is deployed until root "
                                        "says 'klystrr trust reset'");
    return 0;
}

static int attach(int dirfd, struct journal *j, struct error *err)
{
    for (int i = 0; i < 2; i++) {
        j->slots[i] = open_file(dirfd, slot_names[i], sizeof(struct slot), err);
        if (j->slots[i] < 0)
            return -1;
    }
    j->witness = open_file(dirfd, witness_name, sizeof(struct witness), err);
    if (j->witness < 0)
        return -1;
    if (fsync(dirfd) < 0)
        return fail_errno(err, "E_JOURNAL", errno, "the journal's folder could not be synced");
    return 0;
}

static int write_generation(struct journal *j, struct error *err)
{
    j->now.magic = SLOT_MAGIC;
    j->now.version = SLOT_VERSION;
    j->now.size = sizeof j->now;
    j->now.generation++;
    j->now.crc = slot_crc(&j->now);
    struct witness w = {.magic = WITNESS_MAGIC, .generation = j->now.generation};
    w.crc = crc32_of(&w.generation, sizeof w.generation);
    if (!write_exact(j->slots[j->now.generation % 2], &j->now, sizeof j->now) ||
        !write_exact(j->witness, &w, sizeof w))
        return fail_errno(err, "E_JOURNAL", errno, "the journal could not be written");
    return 0;
}

static int open_found(int dirfd, const struct found *found, bool begin, struct journal **out, struct error *err)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for the journal");
    *j = (struct journal){.slots = {-1, -1}, .witness = -1};
    if (found->best >= 0)
        j->now = *found->slot;
    if (found->witness > j->now.generation)
        j->now.generation = found->witness;
    if (attach(dirfd, j, err) < 0 || (begin && (write_generation(j, err) < 0 || write_generation(j, err) < 0))) {
        journal_close(j);
        return -1;
    }
    j->saved = j->now.state;
    *out = j;
    return 0;
}

int journal_open(int dirfd, bool fresh, struct journal **out, struct error *err)
{
    AUTO_FREE struct slot *room = calloc(2, sizeof *room);
    if (room == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for the journal");
    struct found found;
    look(dirfd, room, &found);
    if (judge(&found, fresh, err) < 0)
        return -1;
    return open_found(dirfd, &found, !found.there, out, err);
}

int journal_reset(int dirfd, struct error *err)
{
    AUTO_FREE struct slot *room = calloc(2, sizeof *room);
    if (room == NULL)
        return fail(err, "E_NO_MEMORY", "no memory for the journal");
    struct found found;
    look(dirfd, room, &found);
    struct journal *j = NULL;
    if (open_found(dirfd, &found, true, &j, err) < 0)
        return -1;
    journal_close(j);
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    for (int i = 0; i < 2; i++)
        if (j->slots[i] >= 0)
            close(j->slots[i]);
    if (j->witness >= 0)
        close(j->witness);
    free(j);
}

struct journal_state *journal_state(struct journal *j)
{
    return &j->now.state;
}

int journal_commit(struct journal *j, struct error *err)
{
    if (write_generation(j, err) < 0) {
        j->now.state = j->saved;
        return -1;
    }
    j->saved = j->now.state;
    return 0;
}

void journal_undo(struct journal *j)
{
    j->now.state = j->saved;
}

struct journal_project *journal_project(struct journal_state *state, const char *name, bool add)
{
    for (uint32_t i = 0; i < state->project_count; i++)
        if (strcmp(state->projects[i].name, name) == 0)
            return &state->projects[i];
    if (!add || state->project_count == JOURNAL_PROJECTS_MAX || strlen(name) >= sizeof state->projects[0].name)
        return NULL;
    struct journal_project *made = &state->projects[state->project_count++];
    memset(made, 0, sizeof *made);
    memcpy(made->name, name, strlen(name));
    return made;
}

struct journal_release *journal_release(struct journal_project *project, const char *name)
{
    for (uint32_t i = 0; i < project->release_count; i++)
        if (strcmp(project->releases[i].name, name) == 0)
            return &project->releases[i];
    return NULL;
}

bool journal_add_release(struct journal_project *project, const struct journal_release *release)
{
    if (project->release_count == JOURNAL_RELEASES_MAX)
        return false;
    project->releases[project->release_count++] = *release;
    return true;
}

void journal_drop_release(struct journal_project *project, const char *name)
{
    struct journal_release *gone = journal_release(project, name);
    if (gone == NULL)
        return;
    size_t behind = (size_t)(&project->releases[project->release_count] - (gone + 1));
    memmove(gone, gone + 1, behind * sizeof *gone);
    memset(&project->releases[--project->release_count], 0, sizeof *gone);
}

static bool pair_is(const uint8_t *manifest, const uint8_t *env, const uint8_t *digest)
{
    return memcmp(manifest, digest, 32) == 0 || memcmp(env, digest, 32) == 0;
}

bool journal_refers(const struct journal_project *p, const uint8_t *digest)
{
    for (uint32_t i = 0; i < p->release_count; i++)
        if (pair_is(p->releases[i].manifest, p->releases[i].env, digest))
            return true;
    return pair_is(p->manifest, p->env, digest) || pair_is(p->live.manifest, p->live.env, digest) ||
           pair_is(p->running.manifest, p->running.env, digest) ||
           pair_is(p->running.old.manifest, p->running.old.env, digest);
}

const struct journal_app *journal_live_app(const struct journal_live *live, const char *name)
{
    for (uint32_t i = 0; i < live->app_count; i++)
        if (strcmp(live->apps[i].name, name) == 0)
            return &live->apps[i];
    return NULL;
}
