/* klystrr-plane: the reference control plane. A table of commands; each does one thing and returns the exit
 * status. */
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "plane/home.h"
#include "plane/plane.h"
#include "trust/digest.h"

#define EXIT_OK     0
#define EXIT_FAILED 1
#define EXIT_USAGE  2

static const char usage[] =
    "usage: klystrr-plane init --data DIR --api https://HOST:PORT --agents https://HOST:PORT [--name ADMIN]\n"
    "       klystrr-plane run --data DIR [--listen-api ADDRESS:PORT] [--listen-agents ADDRESS:PORT] "
    "[--fetch-program PATH]\n"
    "       klystrr-plane key add --data DIR NAME | key list --data DIR | key revoke --data DIR NAME\n"
    "       klystrr-plane --version | --help\n"
    "\n"
    "init makes the plane's folder, keys and database, and writes the first API key to DIR/admin.key.\n"
    "run serves the API and the agents until SIGTERM. A key is shown once, when it is added.\n";

struct args {
    const char *data, *api, *agents, *name, *listen_api, *listen_agents, *fetch_program;
    const char *words[2]; /* what is no flag */
    int word_count;
};

static int failed(const struct error *err)
{
    fprintf(stderr, "klystrr-plane: %s: %s\n", err->code, err->text);
    return strcmp(err->code, "E_USAGE") == 0 || strcmp(err->code, "E_URL") == 0 ? EXIT_USAGE : EXIT_FAILED;
}

static int wrong(const char *what, const char *which)
{
    fprintf(stderr, "klystrr-plane: E_USAGE: %s%s\n%s", what, which, usage);
    return EXIT_USAGE;
}

static const char **flag_of(struct args *a, const char *flag)
{
    struct {
        const char *flag, **where;
    } const known[] = {
        {"--data", &a->data},
        {"--api", &a->api},
        {"--agents", &a->agents},
        {"--name", &a->name},
        {"--listen-api", &a->listen_api},
        {"--listen-agents", &a->listen_agents},
        {"--fetch-program", &a->fetch_program},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].flag, flag) == 0)
            return known[i].where;
    return NULL;
}

/* 0, or the exit status of a usage error. */
static int parse(int argc, char **argv, struct args *a)
{
    for (int i = 0; i < argc; i++) {
        const char **where = flag_of(a, argv[i]);
        if (where != NULL && i + 1 < argc && *where == NULL)
            *where = argv[++i];
        else if (where != NULL)
            return wrong(i + 1 < argc ? "given twice: " : "needs a value: ", argv[i]);
        else if (argv[i][0] == '-' || a->word_count == 2)
            return wrong("not understood: ", argv[i]);
        else
            a->words[a->word_count++] = argv[i];
    }
    return a->data == NULL ? wrong("--data is needed", "") : 0;
}

/* Root who looks after a plane of another user must not leave files of root's in its folder. */
static int become_owner(const char *dir, struct error *err)
{
    struct stat st;
    if (geteuid() != 0 || stat(dir, &st) < 0 || st.st_uid == 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0)
        return fail(err, "E_START", "becoming the owner of %s failed", dir);
    return 0;
}

static int command_init(const struct args *a)
{
    struct error err = {0};
    struct home_init what = {.dir = a->data,
                             .api_url = a->api,
                             .agent_url = a->agents,
                             .admin = a->name != NULL ? a->name : "admin",
                             .now = clock_wall_ms()};
    if (a->api == NULL || a->agents == NULL || a->word_count > 0)
        return wrong("init needs --api and --agents", "");
    umask(077);
    int rc = become_owner(a->data, &err);
    if (rc == 0)
        rc = home_init(&what, &err);
    if (rc < 0)
        return failed(&err);
    printf(rc > 0 ? "%s holds a plane already; nothing was changed\n" : "made a plane in %s\n", a->data);
    printf("API key: %s/admin.key\nCA certificate: %s/ca.pem\nnext: klystrr-plane run --data %s\n", a->data,
           a->data, a->data);
    return EXIT_OK;
}

static int command_run(const struct args *a)
{
    struct error err = {0};
    struct plane_options options = {.dir = a->data,
                                    .listen_api = a->listen_api,
                                    .listen_agents = a->listen_agents,
                                    .fetch_program = a->fetch_program};
    if (a->word_count > 0 || a->api != NULL || a->agents != NULL || a->name != NULL)
        return wrong("run takes --data, --listen-api, --listen-agents and --fetch-program", "");
    if (become_owner(a->data, &err) < 0 || plane_run(&options, &err) < 0)
        return failed(&err);
    return EXIT_OK;
}

/* ---- keys ---- */

static int key_add(struct store *s, const char *name, struct error *err)
{
    char key[HOME_KEY_SIZE], admin[STORE_NAME_MAX] = "admin";
    uint8_t hash[DIGEST_SIZE];
    if (strlen(name) == 0 || strlen(name) >= STORE_NAME_MAX)
        return fail(err, "E_USAGE", "a key's name has 1 to %d letters", STORE_NAME_MAX - 1);
    if (store_setting(s, "admin", admin, sizeof admin, err) < 0 || home_make_key(key, hash, err) < 0 ||
        store_key_add(s, admin, name, hash, clock_wall_ms(), err) < 0)
        return -1;
    printf("%s\n", key);
    wipe(key, sizeof key);
    return 0;
}

static void print_time(int64_t at)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(at, text);
    printf("  %-24s", at != 0 ? text : "-");
}

static int key_print(void *ctx, const struct store_key *k)
{
    (void)ctx;
    printf("%-24s", k->name);
    print_time(k->created);
    print_time(k->last_used);
    print_time(k->revoked);
    putchar('\n');
    return 0;
}

static int key_list(struct store *s, struct error *err)
{
    printf("%-24s  %-24s  %-24s  %-24s\n", "NAME", "CREATED", "LAST USED", "REVOKED");
    return store_keys(s, key_print, NULL, err);
}

static int key_revoke(struct store *s, const char *name, struct error *err)
{
    int rc = store_key_revoke(s, name, clock_wall_ms(), err);
    if (rc > 0)
        return fail(err, "E_NOT_FOUND", "there is no key named '%s' that is good", name);
    if (rc == 0)
        printf("revoked %s\n", name);
    return rc;
}

static int command_key(const struct args *a)
{
    struct error err = {0};
    struct store s;
    const char *verb = a->words[0], *name = a->words[1];
    bool list = verb != NULL && strcmp(verb, "list") == 0 && name == NULL;
    bool add = verb != NULL && strcmp(verb, "add") == 0 && name != NULL;
    bool revoke = verb != NULL && strcmp(verb, "revoke") == 0 && name != NULL;
    if (!list && !add && !revoke)
        return wrong("key add NAME, key list or key revoke NAME", "");
    if (become_owner(a->data, &err) < 0 || home_open_store(a->data, &s, &err) < 0)
        return failed(&err);
    int rc = list ? key_list(&s, &err) : add ? key_add(&s, name, &err) : key_revoke(&s, name, &err);
    store_close(&s);
    return rc < 0 ? failed(&err) : EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(const struct args *a);
} commands[] = {{"init", command_init}, {"run", command_run}, {"key", command_key}};

int main(int argc, char **argv)
{
    struct args a = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("klystrr-plane %s\n", KLY_VERSION);
        return EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int rc = parse(argc - 2, argv + 2, &a);
            return rc != 0 ? rc : commands[i].run(&a);
        }
    return wrong(argc > 1 ? "not a command: " : "a command is needed", argc > 1 ? argv[1] : "");
}
