/* Commands that ask the plane: servers, projects, releases, and what starts a deployment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/names.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/owner.h"
#include "cli/watch.h"
#include "proto/token.h"

#define TARGET_SIZE 512
#define COUNT(a) (sizeof(a) / sizeof *(a))

static int login(struct cli *cli, int argc, char **argv)
{
    const char *plane = NULL, *ca = NULL, *key = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "plane", .value = &plane}, {.name = "ca", .value = &ca}, {.name = "key-file", .value = &key}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    if (plane == NULL || key == NULL)
        return say_usage("login needs --plane https://host:port and --key-file FILE (a file of mode 0600 that holds the API key)");
    struct error err = {0};
    char host[256], ca_path[4096] = "", key_path[4096];
    uint16_t port;
    if (plane_url_parse(plane, host, sizeof host, &port, &err) < 0)
        return say_error(cli, &err);
    if (realpath(key, key_path) == NULL || (ca != NULL && realpath(ca, ca_path) == NULL))
        return say_usage("the file '%s' is not there", realpath(key, key_path) == NULL ? key : ca);
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "plane", plane);
    cJSON_AddStringToObject(config, "key_file", key_path);
    if (ca != NULL)
        cJSON_AddStringToObject(config, "ca_file", ca_path);
    char *text = cJSON_Print(config);
    int rc = settings_write(cli, "config.json", (struct bytes){(uint8_t *)text, strlen(text)}, &err);
    cJSON_free(text);
    cJSON_Delete(config);
    if (rc < 0)
        return say_error(cli, &err);
    AUTO_ANSWER struct answer a = {0};
    int code = api(cli, "GET", "/api/v1/plane", NULL, &a);
    if (code == EXIT_OK && cli->json)
        say_json(a.json);
    else if (code == EXIT_OK)
        printf("Logged in to %s (plane %s, version %s).\n", plane, field_text(a.json, "id"), field_text(a.json, "version"));
    return code;
}

static int servers(struct cli *cli, int argc, char **argv)
{
    static const struct list_column columns[] = {{"NAME", "name"}, {"STATE", "state"}, {"ID", "id"}, {"HOST", "hostname"}, {"LAST SEEN", "last_seen"}};
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    return api_list(cli, "/api/v1/servers", "servers", "No servers yet. 'klystrr servers add NAME' makes the first.", columns, COUNT(columns));
}

/* Pins come from the trust document that this owner signed, never from what the plane says of itself. */
static int token_from(const struct cli *cli, const cJSON *server, char *out, struct error *err)
{
    AUTO_TOKEN struct token token = {0};
    AUTO_TRUST_DOC struct trust_doc trust = {0};
    const char *secret = field_text(server, "secret");
    if (owner_trust_first(cli, &trust, token.trust, err) < 0)
        return -1;
    memcpy(token.ca, trust.ca, sizeof token.ca);
    snprintf(token.server, sizeof token.server, "%s", field_text(server, "id"));
    snprintf(token.url, sizeof token.url, "%s", trust.urls[0]);
    if (hex_decode(secret, strlen(secret), token.secret, sizeof token.secret) < 0)
        return fail(err, "E_PLANE", "the plane's answer holds no secret");
    return token_encode(&token, out, err);
}

static int servers_add(struct cli *cli, int argc, char **argv)
{
    const char *file = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "token-file", .value = &file}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("servers add needs a name for the server");
    AUTO_ANSWER struct answer server = {0};
    struct error err = {0};
    char token[TOKEN_TEXT_SIZE];
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "name", words[0]);
    int code = api(cli, "POST", "/api/v1/servers", body, &server);
    cJSON_Delete(body);
    if (code != EXIT_OK)
        return code;
    if (token_from(cli, server.json, token, &err) < 0)
        return say_error(cli, &err);
    if (file != NULL && file_write_private(file, token, &err) < 0)
        return say_error(cli, &err);
    if (cli->json) {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddStringToObject(out, "id", field_text(server.json, "id"));
        cJSON_AddStringToObject(out, "expires", field_text(server.json, "expires"));
        if (file == NULL)
            cJSON_AddStringToObject(out, "token", token);
        say_json(out);
        cJSON_Delete(out);
    } else if (file != NULL) {
        printf("Server %s is %s. Its token lies in %s, is good for 15 minutes and for one use.\n", words[0], field_text(server.json, "id"), file);
    } else {
        printf("Server %s is %s. On it, as root, within 15 minutes, put this token into a file of mode 0600 and run\n"
               "  klystrr enrol --token-file FILE\n\n%s\n", words[0], field_text(server.json, "id"), token);
    }
    wipe(token, sizeof token);
    return EXIT_OK;
}

static int servers_remove(struct cli *cli, int argc, char **argv)
{
    const char *words[2];
    if (options_parse(cli, argc, argv, NULL, 0, words, 1) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("servers remove needs a name or an id");
    char id[24], target[TARGET_SIZE];
    int code = server_id_of(cli, words[0], id, sizeof id);
    if (code != EXIT_OK)
        return code;
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/servers/%s", id);
    code = api(cli, "DELETE", target, NULL, &a);
    if (code == EXIT_OK && !cli->json)
        printf("Server %s is revoked and removed. Its applications keep running.\n", words[0]);
    return code;
}

static int projects(struct cli *cli, int argc, char **argv)
{
    static const struct list_column columns[] = {{"PROJECT", "name"}, {"LIVE", "live.release"}, {"SERVER", "live.server"}, {"SINCE", "live.since"}};
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    return api_list(cli, "/api/v1/projects", "projects", "No projects yet. 'klystrr init' makes one.", columns, COUNT(columns));
}

static int releases(struct cli *cli, int argc, char **argv)
{
    static const struct list_column columns[] = {{"RELEASE", "release"}, {"STATE", "state"}, {"COMMIT", "commit"}, {"SERVER", "server"}, {"DEPLOYED", "deployed"}};
    const char *project = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char name[64], target[TARGET_SIZE];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0 || project_or_here(project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    snprintf(target, sizeof target, "/api/v1/projects/%s/releases", name);
    return api_list(cli, target, "releases", "No releases yet. 'klystrr deploy' makes the first.", columns, COUNT(columns));
}

/* deploy, rollback and restart: one call that answers with deployments, then watch them. */
struct start {
    const char *project, *server, *ref, *commit, *release, *wait;
    bool no_wait;
};

static void add_if(cJSON *body, const char *name, const char *value)
{
    if (value != NULL)
        cJSON_AddStringToObject(body, name, value);
}

static int start_and_watch(struct cli *cli, const struct start *s, const char *what)
{
    char name[64], target[TARGET_SIZE], server[24];
    int64_t seconds = 3600;
    if (project_or_here(s->project, name, sizeof name) == NULL || (s->wait != NULL && option_number("timeout", s->wait, 1, 86400, &seconds) < 0))
        return EXIT_USAGE;
    cJSON *body = cJSON_CreateObject();
    int code = EXIT_OK;
    if (s->server != NULL && (code = server_id_of(cli, s->server, server, sizeof server)) == EXIT_OK)
        add_if(body, "server", server);
    add_if(body, "ref", s->ref);
    add_if(body, "commit", s->commit);
    add_if(body, "release", s->release);
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/projects/%s/%s", name, what);
    if (code == EXIT_OK)
        code = api(cli, "POST", target, body, &a);
    cJSON_Delete(body);
    if (code != EXIT_OK)
        return code;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(a.json, "deployments");
    if (s->no_wait) {
        if (cli->json)
            say_json(a.json);
        else
            printf("%s: %d deployment%s under way. 'klystrr logs -f' follows.\n", name, cJSON_GetArraySize(list),
                   cJSON_GetArraySize(list) == 1 ? "" : "s");
        return EXIT_OK;
    }
    return watch_deployments(cli, list, seconds);
}

static int deploy(struct cli *cli, int argc, char **argv)
{
    struct start s = {0};
    const char *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &s.project}, {.name = "server", .value = &s.server},
                                        {.name = "ref", .value = &s.ref},         {.name = "commit", .value = &s.commit},
                                        {.name = "timeout", .value = &s.wait},    {.name = "no-wait", .flag = &s.no_wait}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    return start_and_watch(cli, &s, "deployments");
}

static int rollback(struct cli *cli, int argc, char **argv)
{
    struct start s = {0};
    const char *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &s.project}, {.name = "server", .value = &s.server},
                                        {.name = "timeout", .value = &s.wait}, {.name = "no-wait", .flag = &s.no_wait}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    s.release = words[0];
    if (s.release != NULL && name_release_sequence(s.release) == 0)
        return say_usage("'%s' is no release ('klystrr releases' lists them)", s.release);
    return start_and_watch(cli, &s, "rollback");
}

static int restart(struct cli *cli, int argc, char **argv)
{
    struct start s = {0};
    const char *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &s.project}, {.name = "server", .value = &s.server},
                                        {.name = "timeout", .value = &s.wait}, {.name = "no-wait", .flag = &s.no_wait}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    return start_and_watch(cli, &s, "restart");
}

/* The newest deployment of the project, unless one was named. */
static int deployment_of(struct cli *cli, const char *given, const char *project, char *id, size_t room)
{
    char name[64], target[TARGET_SIZE];
    if (given != NULL) {
        snprintf(id, room, "%s", given);
        return name_is_deployment(given) ? EXIT_OK : say_usage("'%s' is no deployment (dep_…)", given);
    }
    if (project_or_here(project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/projects/%s/deployments?limit=1", name);
    int code = api(cli, "GET", target, NULL, &a);
    if (code != EXIT_OK)
        return code;
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(a.json, "deployments"), 0);
    struct error err = {0};
    if (first == NULL) {
        fail(&err, "E_NOT_FOUND", "project '%s' has no deployment yet", name);
        return say_error(cli, &err);
    }
    snprintf(id, room, "%s", field_text(first, "id"));
    return EXIT_OK;
}

static int cancel(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char id[32], target[TARGET_SIZE];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    int code = deployment_of(cli, words[0], project, id, sizeof id);
    if (code != EXIT_OK)
        return code;
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/deployments/%s/cancel", id);
    code = api(cli, "POST", target, NULL, &a);
    if (code == EXIT_OK && cli->json)
        say_json(a.json);
    else if (code == EXIT_OK)
        printf("Deployment %s is being cancelled.\n", id);
    return code;
}

static bool write_out(void *ctx, const uint8_t *data, size_t size)
{
    (void)ctx;
    return fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
}

static int logs(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *words[2];
    bool follow = false;
    const struct option_spec specs[] = {{.name = "project", .value = &project}, {.name = "follow", .letter = 'f', .flag = &follow}};
    char id[32], target[TARGET_SIZE];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    int code = deployment_of(cli, words[0], project, id, sizeof id);
    if (code != EXIT_OK)
        return code;
    if (follow)
        return watch_log(cli, id);
    struct error err = {0};
    AUTO_ACCESS struct plane_access plane = {0};
    snprintf(target, sizeof target, "/api/v1/deployments/%s/log", id);
    if (plane_access_load(cli, &plane, &err) < 0 || api_stream(&plane, target, NULL, write_out, NULL, &err) < 0)
        return say_error(cli, &err);
    return EXIT_OK;
}

static int webhook(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *file = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &project}, {.name = "secret-file", .value = &file}};
    char name[64], target[TARGET_SIZE];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0 || project_or_here(project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    AUTO_ANSWER struct answer a = {0};
    struct error err = {0};
    snprintf(target, sizeof target, "/api/v1/projects/%s/webhook", name);
    int code = api(cli, "PUT", target, NULL, &a);
    if (code != EXIT_OK)
        return code;
    if (file != NULL && file_write_private(file, field_text(a.json, "secret"), &err) < 0)
        return say_error(cli, &err);
    if (file != NULL) /* it lies in the file, and nowhere else */
        cJSON_DeleteItemFromObjectCaseSensitive(a.json, "secret");
    if (cli->json)
        say_json(a.json);
    else if (file != NULL)
        printf("Webhook %s; its secret lies in %s and is not shown again.\n", field_text(a.json, "url"), file);
    else
        printf("Webhook %s\nSecret  %s\nThe secret is not shown again. GitHub: content type application/json. GitLab: secret token.\n",
               field_text(a.json, "url"), field_text(a.json, "secret"));
    return EXIT_OK;
}

static int project_set(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *poll = NULL, *words[1];
    const struct option_spec specs[] = {{.name = "project", .value = &project}, {.name = "poll", .value = &poll}};
    char name[64], target[TARGET_SIZE];
    int64_t seconds = 0;
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0 || project_or_here(project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    if (poll == NULL || option_number("poll", poll, 0, 86400, &seconds) < 0)
        return poll == NULL ? say_usage("projects set needs --poll SECONDS") : EXIT_USAGE;
    cJSON *body = cJSON_CreateObject();
    cJSON_AddNumberToObject(body, "poll_seconds", (double)seconds);
    AUTO_ANSWER struct answer a = {0};
    snprintf(target, sizeof target, "/api/v1/projects/%s", name);
    int code = api(cli, "PATCH", target, body, &a);
    cJSON_Delete(body);
    if (code == EXIT_OK && cli->json)
        say_json(a.json);
    else if (code == EXIT_OK)
        printf(seconds > 0 ? "%s: the branch is looked at every %lld s.\n" : "%s: the branch is not polled (%lld).\n", name, (long long)seconds);
    return code;
}

const struct command plane_commands[] = {
    {"login", "--plane URL --key-file FILE [--ca FILE]", "Remember which plane to talk to",
     "  --plane URL      https://host:port of the plane's API\n  --key-file FILE  holds the API key (kly_…); it is read at every call, never copied\n"
     "  --ca FILE        the plane's CA certificate (PEM); without it the system's roots are trusted", login},
    {"servers", "", "List the servers and whether they are connected", NULL, servers},
    {"servers add", "NAME [--token-file FILE]", "Add a server: makes its one-time token", "  --token-file FILE  write the token there (0600) instead of showing it", servers_add},
    {"servers remove", "NAME|ID", "Revoke a server; its applications keep running", NULL, servers_remove},
    {"projects", "", "List the projects and what is live", NULL, projects},
    {"projects set", "[--project NAME] --poll SECONDS", "Change how often the branch is looked at (0: never)", NULL, project_set},
    {"deploy", "[--project NAME] [--ref REF | --commit SHA] [--server NAME] [--no-wait]", "Deploy, and show each step as it happens",
     "  --ref REF      head of this ref; the manifest must allow it (default: the manifest's)\n  --commit SHA   exactly this commit\n"
     "  --no-wait      return at once\n  --timeout S    stop waiting after S seconds (exit 8); the deployment goes on\n\n"
     "Exit: 0 live, 6 failed and the old release serves on, 7 the way back failed too.", deploy},
    {"logs", "[DEPLOYMENT] [--project NAME] [-f]", "Show a deployment's log (the newest's), -f follows it", NULL, logs},
    {"releases", "[--project NAME]", "List the releases kept on the servers", NULL, releases},
    {"rollback", "[RELEASE] [--project NAME] [--server NAME] [--no-wait]", "Go back to the release before, or to the one named", NULL, rollback},
    {"restart", "[--project NAME] [--server NAME] [--no-wait]", "Start the live release anew beside itself: no gap", NULL, restart},
    {"cancel", "[DEPLOYMENT] [--project NAME]", "End a deployment that has not switched yet", NULL, cancel},
    {"webhook", "[--project NAME] [--secret-file FILE]", "Make the address and secret for a push webhook", NULL, webhook},
    {0},
};
