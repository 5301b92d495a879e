/* Commands about this host: what runs here, root's word over it, and taking it into the fold (enrol). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/encode.h"
#include "base/names.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/control.h"
#include "cli/policy.h"
#include "cli/watch.h"
#include "ipc/control_api.h"
#include "proto/token.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define AGENT_SOCKET "/run/klystrr/agent.sock"
#define ETC          "/etc/klystrr"
#define STATE        "/var/lib/klystrr"
#define IDENTITY     STATE "/identity"

static bool is_root(void)
{
    return geteuid() == 0;
}

static int need_root(const char *what)
{
    return is_root() ? EXIT_OK : say_usage("%s is for root: try it with sudo", what);
}

/* ---- status ------------------------------------------------------------------------------------------------ */

/* What the agent says (root), or what the uplink was told and may tell others. *relayed says which. */
static int get_status(cJSON **out, bool *relayed, struct error *err)
{
    *relayed = !is_root();
    if (is_root() && control_text(CONTROL_STATUS, NULL, out, err) == 0)
        return 0;
    AUTO_ANSWER struct answer a = {0};
    *relayed = true;
    if (unix_get(AGENT_SOCKET, "/v1/status", &a, err) < 0)
        return fail_in(err, "Klystrr does not answer on this host (is it installed and started? are you in group klystrr-read?)");
    *out = a.json;
    a.json = NULL;
    return 0;
}

static void show_project(const struct cli *cli, const cJSON *p)
{
    char name[160], live[160], state[160];
    show_safe(field_text(p, "project"), name, sizeof name);
    show_safe(field_text(p, "live"), live, sizeof live);
    show_safe(field_text(p, "state"), state, sizeof state);
    printf("\n%s%s%s  %s%s\n", paint(cli, "bold"), name, paint(cli, "off"), *live != 0 ? live : "nothing deployed yet",
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(p, "stopped")) ? "  (stopped)" : "");
    if (*state != 0 && strcmp(state, "idle") != 0)
        printf("  deploying: %s\n", state);
    const cJSON *app;
    cJSON_ArrayForEach(app, cJSON_GetObjectItemCaseSensitive(p, "apps"))
    {
        char app_name[160], app_state[160], text[512];
        show_safe(field_text(app, "app"), app_name, sizeof app_name);
        show_safe(field_text(app, "state"), app_state, sizeof app_state);
        show_safe(field_text(app, "text"), text, sizeof text);
        bool good = strcmp(app_state, "running") == 0;
        printf("  %s%s%s %-16s %s", paint(cli, good ? "green" : "red"), good ? "●" : "○", paint(cli, "off"), app_name, app_state);
        if (field_number(app, "port", 0) > 0)
            printf("  port %lld (%s)", (long long)field_number(app, "port", 0), field_text(app, "slot"));
        printf("%s%s\n", *text != 0 ? "  " : "", text);
    }
    const cJSON *last = cJSON_GetObjectItemCaseSensitive(p, "last");
    if (cJSON_IsObject(last)) {
        char text[1024];
        show_safe(field_text(last, "text"), text, sizeof text);
        printf("  last deployment: %s, %s%s%s\n", field_text(last, "outcome"), field_text(last, "at"), *text != 0 ? ": " : "", text);
    }
}

static void show_status(const struct cli *cli, const cJSON *status, bool relayed)
{
    const cJSON *link = cJSON_GetObjectItemCaseSensitive(status, "link");
    bool online = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(link, "online"));
    char text[512];
    show_safe(field_text(link, "text"), text, sizeof text);
    printf("Klystrr %s on %s%s\n", field_text(status, "version"), field_text(status, "server"), relayed ? " (as relayed)" : "");
    printf("%s%s%s plane %s%s%s\n", paint(cli, online ? "green" : "yellow"), online ? "●" : "○", paint(cli, "off"),
           online ? "connected" : "not connected", *text != 0 ? ": " : "", text);
    printf("  trust version %lld, box level %lld\n", (long long)field_number(status, "trust", 0), (long long)field_number(status, "box_level", 0));
    const cJSON *warning, *p;
    cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(status, "warnings"))
    {
        show_safe(cJSON_IsString(warning) ? warning->valuestring : field_text(warning, "text"), text, sizeof text);
        printf("%s!%s %s\n", paint(cli, "yellow"), paint(cli, "off"), text);
    }
    cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(status, "projects")) show_project(cli, p);
}

static int status(struct cli *cli, int argc, char **argv)
{
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    struct error err = {0};
    cJSON *value = NULL;
    bool relayed;
    if (get_status(&value, &relayed, &err) < 0)
        return say_error(cli, &err);
    if (cli->json)
        say_json(value);
    else
        show_status(cli, value, relayed);
    cJSON_Delete(value);
    return EXIT_OK;
}

/* ---- root's word over the apps ------------------------------------------------------------------------------ */

static int local_action(struct cli *cli, int argc, char **argv, uint16_t verb, const char *done)
{
    const char *project = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char name[32];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    int code = need_root(argv[0]);
    if (code != EXIT_OK || project_or_here(words[0] != NULL ? words[0] : project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    struct control_target target = {0};
    snprintf(target.project, sizeof target.project, "%s", name);
    return control_act(cli, verb, &target, done);
}

static int stop(struct cli *cli, int argc, char **argv)
{
    return local_action(cli, argc, argv, CONTROL_STOP, "stopped, and stays so until 'klystrr start'");
}

static int start(struct cli *cli, int argc, char **argv)
{
    return local_action(cli, argc, argv, CONTROL_START, "started");
}

static int activate(struct cli *cli, int argc, char **argv)
{
    const char *project = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "project", .value = &project}};
    char name[32];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    if (need_root("activate") != EXIT_OK || project_or_here(project, name, sizeof name) == NULL)
        return EXIT_USAGE;
    if (words[0] != NULL && name_release_sequence(words[0]) == 0)
        return say_usage("'%s' is no release", words[0]);
    struct control_target target = {0};
    snprintf(target.project, sizeof target.project, "%s", name);
    snprintf(target.release, sizeof target.release, "%s", words[0] != NULL ? words[0] : "");
    return control_act(cli, words[0] != NULL ? CONTROL_ACTIVATE : CONTROL_ROLLBACK, &target, "activated");
}

/* ---- enrol -------------------------------------------------------------------------------------------------- */

static int write_agent_json(const struct token *t, struct error *err)
{
    char pin[65];
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "server", t->server);
    cJSON_AddStringToObject(config, "plane", t->url);
    hex_encode(t->ca, sizeof t->ca, pin);
    cJSON_AddStringToObject(config, "ca", pin);
    hex_encode(t->trust, sizeof t->trust, pin);
    cJSON_AddStringToObject(config, "trust", pin);
    cJSON_AddStringToObject(config, "mode", "direct");
    char *text = cJSON_Print(config);
    AUTO_CLOSE int dir = durable_dir(ETC, 0755, err);
    int rc = dir < 0 ? -1 : durable_replace(dir, "agent.json", text, strlen(text), 0644, err);
    cJSON_free(text);
    cJSON_Delete(config);
    return rc;
}

/* The secret, where only the uplink reads it; it deletes it once it has been used. */
static int hand_over_secret(const struct token *t, struct error *err)
{
    char hex[65];
    const struct passwd *uplink = getpwnam("klystrr-net");
    if (uplink == NULL)
        return fail(err, "E_NOT_FOUND", "the user klystrr-net does not exist: install Klystrr first");
    AUTO_CLOSE int above = durable_dir(STATE, 0755, err); /* the warden makes it, but may not have run yet */
    if (above < 0)
        return -1;
    AUTO_CLOSE int dir = durable_dir(IDENTITY, 0700, err);
    if (dir < 0 || fchown(dir, uplink->pw_uid, uplink->pw_gid) < 0)
        return dir < 0 ? -1 : fail_errno(err, "E_WRITE", errno, "%s", IDENTITY);
    hex_encode(t->secret, sizeof t->secret, hex);
    int rc = durable_replace(dir, "token", hex, strlen(hex), 0600, err);
    wipe(hex, sizeof hex);
    if (rc == 0 && fchownat(dir, "token", uplink->pw_uid, uplink->pw_gid, AT_SYMLINK_NOFOLLOW) < 0)
        rc = fail_errno(err, "E_WRITE", errno, "%s/token", IDENTITY);
    return rc;
}

static int already_enrolled(const struct token *t, bool force, struct error *err)
{
    AUTO_BUF struct buf text = BUF(0);
    if (file_read(ETC "/agent.json", 16384, &text, NULL) < 0)
        return 0;
    cJSON *config = cJSON_Parse(buf_text(&text));
    bool other = strcmp(field_text(config, "server"), t->server) != 0;
    cJSON_Delete(config);
    if (other && !force)
        return fail(err, "E_BUSY", "this host is enrolled as another server (" ETC "/agent.json): use --force to replace that");
    return 0;
}

static int enrol(struct cli *cli, int argc, char **argv)
{
    const char *file = NULL, *words[1];
    bool force = false;
    const struct option_spec specs[] = {{.name = "token-file", .value = &file}, {.name = "force", .flag = &force}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    if (need_root("enrol") != EXIT_OK)
        return EXIT_USAGE;
    struct error err = {0};
    AUTO_WIPE struct buf text = BUF(TOKEN_TEXT_SIZE + 2);
    AUTO_TOKEN struct token token = {0};
    if (file == NULL && !ask_secret(cli, "Token (klt1_…, not shown)", &text))
        return say_usage("enrol needs --token-file FILE (or - for standard input); a token is never taken as an argument");
    if (file != NULL && file_read(file, TOKEN_TEXT_SIZE + 2, &text, &err) < 0)
        return say_error(cli, &err);
    while (text.size > 0 && strchr(" \r\n", text.data[text.size - 1]) != NULL)
        text.data[--text.size] = 0;
    if (token_decode(buf_text(&text), &token, &err) < 0 || already_enrolled(&token, force, &err) < 0 || write_agent_json(&token, &err) < 0 ||
        hand_over_secret(&token, &err) < 0)
        return say_error(cli, &err);
    if (cli->json)
        printf("{\"server\":\"%s\",\"plane\":\"%s\"}\n", token.server, token.url);
    else
        printf("This host is server %s of %s. The uplink enrols it as soon as it runs; 'klystrr status' tells.\n", token.server, token.url);
    return EXIT_OK;
}

/* ---- policy ------------------------------------------------------------------------------------------------- */

static int policy_apply_command(struct cli *cli, int argc, char **argv)
{
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    if (need_root("policy apply") != EXIT_OK)
        return EXIT_USAGE;
    struct error err = {0};
    unsigned projects;
    if (policy_apply(ETC "/policy.json", &projects, &err) < 0)
        return say_error(cli, &err);
    bool told = control_reload(&err) == 0;
    if (!told && strcmp(err.code, "E_IPC_CONNECT") != 0)
        return say_error(cli, &err); /* it reads more of the policy than root's table holds */
    if (cli->json)
        printf("{\"projects\":%u,\"agent_told\":%s}\n", projects, told ? "true" : "false");
    else
        printf("The policy is in force: %u project%s.%s\n", projects, projects == 1 ? "" : "s", told ? "" : " (The agent does not run; it reads it when it starts.)");
    return EXIT_OK;
}

static int policy_check_command(struct cli *cli, int argc, char **argv)
{
    const char *words[2];
    if (options_parse(cli, argc, argv, NULL, 0, words, 1) < 0)
        return EXIT_USAGE;
    struct error err = {0};
    struct policy_table *table = calloc(1, sizeof *table);
    int rc = table == NULL ? fail(&err, "E_NO_MEMORY", "no memory") : policy_compile(words[0] != NULL ? words[0] : ETC "/policy.json", table, &err);
    free(table);
    if (rc < 0)
        return say_error(cli, &err);
    puts(cli->json ? "{\"ok\":true}" : "The policy is sound.");
    return EXIT_OK;
}

static int trust_reset(struct cli *cli, int argc, char **argv)
{
    const char *words[1];
    bool yes = false;
    const struct option_spec specs[] = {{.name = "yes", .flag = &yes}};
    char answer[16];
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    if (need_root("trust reset") != EXIT_OK)
        return EXIT_USAGE;
    if (!yes && (!ask(cli, "Old documents that were refused may be accepted again after this. Type yes", NULL, answer, sizeof answer) ||
                 strcmp(answer, "yes") != 0))
        return say_usage("nothing was changed (without a terminal, confirm with --yes)");
    return control_act(cli, CONTROL_TRUST_RESET, NULL, "reset");
}

const struct command host_commands[] = {
    {"status", "", "What runs on this host, also without the network", "As root it asks the agent itself; others (group klystrr-read) get what the uplink was told.", status},
    {"enrol", "--token-file FILE [--force]", "Make this host a server of a plane", NULL, enrol},
    {"stop", "[PROJECT]", "Stop a project's apps on this host; they stay stopped", NULL, stop},
    {"start", "[PROJECT]", "Start them again", NULL, start},
    {"activate", "[RELEASE] [--project NAME]", "Switch this host to a kept release, without the plane", "Without a release: the one before the live one.", activate},
    {"policy apply", "", "Put /etc/klystrr/policy.json into force", NULL, policy_apply_command},
    {"policy check", "[FILE]", "Check a policy without putting it into force", NULL, policy_check_command},
    {"trust reset", "[--yes]", "Accept versions anew after this host's journal was lost", NULL, trust_reset},
    {0},
};
