/* The whole program, against a plane written from proto/wire.md in another language. */
#include "world.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/sock.h"
#include "net/tls/x509.h"

#include <cmocka.h> /* last: it defines fail() */

#define EVENTS "events"
#define LOG    "log/dep_0123456789abcdef"

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_open(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static void start_all(struct world *w)
{
    world_plane_start(w);
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_hello(w);
}

static void come_online(struct world *w)
{
    start_all(w);
    (void)world_expect_online(w, true);
}

static void offer(struct world *w, uint32_t id, const char *name, const char *file, uint64_t end, bool closed)
{
    struct link_stream body = {.id = id, .closed = closed, .end = end};
    snprintf(body.name, sizeof body.name, "%s", name);
    world_agent_send(w, LINK_STREAM, &body, sizeof body, world_open_file(w, file));
}

static char *ask(struct world *w, const char *method, const char *path)
{
    char request[256];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);
    return world_ask(w, request);
}

static void assert_answer(struct world *w, const char *request, const char *text)
{
    char *answer = world_ask(w, request);
    if (strstr(answer, text) == NULL)
        fail_msg("no '%s' in: %s", text, answer);
    free(answer);
}

static void enrols_once_and_says_what_the_host_has(void **state)
{
    struct world *w = *state;
    start_all(w);
    world_expect_plane(w, "\"enrol\"", "\"good\": true");
    const struct ipc_record *r = world_agent_expect(w, LINK_DOCUMENT);
    const struct link_document *d = ipc_body(r, sizeof *d);
    assert_non_null(d);
    assert_int_equal(d->kind, LINK_TRUST);
    assert_int_equal(d->signature_count, 1);
    assert_int_equal(d->signatures[0].has_keyid, 1);
    assert_int_equal(d->signatures[0].keyid[1], 0x11);
    assert_int_equal(d->signatures[0].sig[63], 7);
    AUTO_BUF struct buf payload = BUF(IPC_SEALED_MAX);
    assert_int_equal(memfd_read(r->fds[0], &payload, NULL), 0);
    assert_string_equal(buf_text(&payload), "{\"type\":\"trust\"}");
    ipc_close_fds(&w->record);
    const struct link_online *online = world_expect_online(w, true);
    assert_string_equal(online->plane, "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    const char *hello = world_expect_plane(w, "\"hello\"", WORLD_SERVER);
    assert_non_null(strstr(hello, "\"challenge\": \"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\""));
    assert_non_null(strstr(hello, "\"project\": \"shop\""));
    assert_non_null(strstr(hello, "\"sequence\": 12"));
    assert_non_null(strstr(hello, "\"env\": null"));
    assert_false(world_has(w, "identity/token"));
    world_uplink_kill(w, SIGTERM);
    world_agent_drop(w);

    world_uplink_start(w); /* and never again */
    world_agent_accept(w);
    world_agent_hello(w);
    (void)world_expect_online(w, true);
    assert_true(world_plane_did_not_say(w, "\"enrol\""));
}

static void a_used_token_beside_a_good_certificate_is_dropped(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_uplink_kill(w, SIGKILL);
    world_agent_drop(w);
    world_write(w, "identity/token", WORLD_TOKEN, 0600); /* as if it had died just before removing it */
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_hello(w);
    (void)world_expect_online(w, true);
    assert_false(world_has(w, "identity/token"));
}

static void a_new_token_while_online_enrols_again(void **state)
{
    struct world *w = *state;
    AUTO_BUF struct buf before = BUF(X509_PEM_MAX), after = BUF(X509_PEM_MAX);
    come_online(w);
    world_read(w, "identity/cert.pem", &before);
    world_write(w, "token.sha256", WORLD_TOKEN_SHA256, 0600);
    world_write(w, "identity/token", WORLD_TOKEN, 0600);
    (void)world_expect_online(w, false);
    (void)world_expect_online(w, true);
    world_read(w, "identity/cert.pem", &after);
    assert_string_not_equal(buf_text(&before), buf_text(&after));
    assert_false(world_has(w, "identity/token"));
}

static void a_refused_token_is_the_reason_people_read(void **state)
{
    struct world *w = *state;
    world_write(w, "token.sha256", "used", 0600);
    start_all(w);
    const struct link_online *offline = world_expect_online(w, false);
    while (strstr(offline->text, "token") == NULL)
        offline = world_expect_online(w, false);
    assert_non_null(strstr(offline->text, "enrol again"));
    char *status = ask(w, "GET", "/v1/status");
    assert_non_null(strstr(status, "\"code\":\"E_TOKEN\""));
    free(status);
    assert_true(world_uplink_lives(w));
}

static void the_secret_goes_to_nobody_but_the_pinned_plane(void **state)
{
    struct world *w = *state;
    world_plane_start(w);
    world_set_agent_json(w, WORLD_TOKEN); /* some other CA's digest */
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_hello(w);
    const struct link_online *offline = world_expect_online(w, false);
    while (strstr(offline->text, "pins") == NULL)
        offline = world_expect_online(w, false);
    assert_true(world_plane_did_not_say(w, "\"enrol\""));
    assert_true(world_has(w, "identity/token"));
    assert_false(world_has(w, "identity/cert.pem"));
}

static void loose_files_keep_it_offline_and_alive(void **state)
{
    struct world *w = *state;
    world_write(w, "identity/token", WORLD_TOKEN, 0644);
    start_all(w);
    const struct link_online *offline = world_expect_online(w, false);
    while (strstr(offline->text, "chmod 600") == NULL)
        offline = world_expect_online(w, false);
    assert_true(world_plane_did_not_say(w, "\"enrol\""));
    world_write(w, "identity/token", WORLD_TOKEN, 0600); /* mended: it goes on by itself */
    (void)world_expect_online(w, true);
}

static void relays_documents_and_asks_for_missing_ones(void **state)
{
    struct world *w = *state;
    come_online(w);
    char *envelope = world_envelope("order", "{\"any\":\"bytes\"}", 15), *line = NULL;
    assert_true(asprintf(&line, "text {\"type\":\"document\",\"envelope\":%s}", envelope) > 0);
    world_tell_plane(w, line);
    const struct ipc_record *r = world_agent_expect(w, LINK_DOCUMENT);
    while (((const struct link_document *)r->body)->kind != LINK_ORDER) {
        ipc_close_fds(&w->record);
        r = world_agent_expect(w, LINK_DOCUMENT);
    }
    AUTO_BUF struct buf payload = BUF(IPC_SEALED_MAX);
    assert_int_equal(memfd_read(r->fds[0], &payload, NULL), 0);
    assert_string_equal(buf_text(&payload), "{\"any\":\"bytes\"}");
    ipc_close_fds(&w->record);
    free(envelope);
    free(line);
    struct link_want want = {.kind = LINK_MANIFEST};
    memset(want.digest, 0xbc, sizeof want.digest);
    world_agent_send(w, LINK_WANT, &want, sizeof want, -1);
    assert_non_null(strstr(world_expect_plane(w, "\"want\"", "manifest"), "bcbcbcbc"));
    struct link_refused refused = {.code = "E_REPLAY", .text = "this order was used", .about = "dep_0123456789abcdef"};
    world_agent_send(w, LINK_REFUSED, &refused, sizeof refused, -1);
    assert_non_null(strstr(world_expect_plane(w, "\"error\"", "E_REPLAY"), "dep_0123456789abcdef"));
}

static void a_new_challenge_is_asked_for_and_said(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_tell_plane(w, "text {\"type\":\"want\",\"what\":\"challenge\"}");
    (void)world_agent_expect(w, LINK_NEED_CHALLENGE);
    struct link_challenge fresh;
    memset(fresh.challenge, 0xff, sizeof fresh.challenge);
    world_agent_send(w, LINK_CHALLENGE, &fresh, sizeof fresh, -1);
    world_expect_plane(w, "\"hello\"", "//////////////////////////////////////////8=");
    assert_true(world_plane_did_not_say(w, "\"connected\""));
}

static void a_hostile_plane_gets_errors_and_nothing_happens(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_tell_plane(w, "text {\"type\":\"reboot\",\"now\":true}");
    world_expect_plane(w, "\"error\"", "E_UNKNOWN_TYPE");
    world_tell_plane(w, "text {\"type\":\"hello\"}");
    world_expect_plane(w, "\"error\"", "hello");
    world_tell_plane(w, "text {\"type\":\"ack\",\"type\":\"ack\"}");
    world_expect_plane(w, "\"error\"", "E_JSON");
    world_tell_plane(w, "text {\"type\":\"document\",\"envelope\":{\"payloadType\":\"text/plain\"}}");
    world_expect_plane(w, "\"error\"", "\"about\": \"document\"");
    world_tell_plane(w, "binary 0100000000000001000000000000000041");
    world_expect_plane(w, "\"error\"", "E_DATA");
    world_tell_plane(w, "text {\"type\":\"cert\",\"certificate\":\"nobody asked\"}");
    world_expect_plane(w, "\"error\"", "E_CERT");
    world_tell_plane(w, "text {\"type\":\"ack\",\"name\":\"" LOG "\",\"offset\":9007199254740991}");
    world_tell_plane(w, "text {\"type\":\"welcome\",\"plane\":\"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\",\"epoch\":"
                        "\"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\",\"heartbeat\":20,\"streams\":[]}");
    char *payload = calloc(1, 300 * 1024), *envelope, *line = NULL;
    assert_non_null(payload);
    envelope = world_envelope("manifest", payload, 300 * 1024);
    assert_true(asprintf(&line, "text {\"type\":\"document\",\"envelope\":%s}", envelope) > 0);
    world_tell_plane(w, line);
    free(payload);
    free(envelope);
    free(line);
    world_expect_plane(w, "\"error\"", "\"about\": \"document\"");
    assert_true(world_plane_did_not_say(w, "\"disconnected\""));
    assert_true(world_uplink_lives(w));
}

static void sends_streams_byte_for_byte_and_tells_what_is_durable(void **state)
{
    struct world *w = *state;
    world_grow(w, "spool-events", 300000);
    world_grow(w, "spool-log", 1500000);
    world_plane_start(w);
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_begin(w);
    offer(w, 1, EVENTS, "spool-events", 200000, false);
    offer(w, 2, LOG, "spool-log", 1500000, true);
    world_agent_ready(w);
    bool log_over = false, events_all = false;
    struct link_grown grown = {.id = 1, .end = 300000};
    world_agent_send(w, LINK_GROWN, &grown, sizeof grown, -1);
    while (!log_over || !events_all) {
        const struct link_grown *acked = ipc_body(world_agent_expect(w, LINK_ACKED), sizeof *acked);
        assert_non_null(acked);
        log_over = log_over || (acked->id == 2 && acked->closed);
        events_all = events_all || (acked->id == 1 && acked->end == 300000);
        assert_false(acked->id == 1 && acked->closed);
    }
    world_expect_plane(w, "\"final\"", LOG);
    assert_true(world_same_files(w, "spool-log", "streams/log_dep_0123456789abcdef"));
    assert_true(world_same_files(w, "spool-events", "streams/events"));
}

struct source {
    uint32_t id;
    const char *name, *file;
    uint64_t end, total, acked;
    bool over;
};

static void say_sources(struct world *w, const struct source *s, size_t count)
{
    world_agent_begin(w);
    for (size_t i = 0; i < count; i++)
        if (!s[i].over)
            offer(w, s[i].id, s[i].name, s[i].file, s[i].end, s[i].end == s[i].total);
    world_agent_ready(w);
}

static void grow_one(struct world *w, struct source *s)
{
    size_t more = 1 + (size_t)(rand() % 12000);
    if (s->end == s->total)
        return;
    if (more > s->total - s->end)
        more = (size_t)(s->total - s->end);
    world_grow(w, s->file, more);
    s->end += more;
    struct link_grown body = {.id = s->id, .end = s->end, .closed = s->end == s->total};
    world_agent_send(w, LINK_GROWN, &body, sizeof body, -1);
}

/* Takes what waits; false if the uplink is gone. */
static bool take_acks(struct world *w, struct source *s, size_t count, int wait_ms)
{
    struct pollfd p = {.fd = w->link, .events = POLLIN};
    while (poll(&p, 1, wait_ms) > 0) {
        enum ipc_result rc = ipc_recv(w->link, &w->record, NULL);
        if (rc != IPC_OK)
            return rc == IPC_AGAIN;
        ipc_close_fds(&w->record);
        const struct link_grown *acked = ipc_body(&w->record, sizeof *acked);
        for (size_t i = 0; i < count && w->record.head.verb == LINK_ACKED && acked != NULL; i++) {
            if (s[i].id != acked->id)
                continue;
            assert_true(acked->end <= s[i].end);
            s[i].acked = acked->end > s[i].acked ? acked->end : s[i].acked;
            s[i].over = s[i].over || acked->closed;
        }
        wait_ms = 0;
    }
    return true;
}

static void streams_arrive_whole_however_often_it_is_killed(void **state)
{
    struct world *w = *state;
    struct source s[] = {{.id = 1, .name = EVENTS, .file = "spool-1", .total = 400000},
                         {.id = 2, .name = LOG, .file = "spool-2", .total = 2000000},
                         {.id = 3, .name = "log/dep_00000000000000ff", .file = "spool-3", .total = 1000000}};
    int kills = 0, drops = 0;
    srand(42);
    for (size_t i = 0; i < 3; i++)
        world_grow(w, s[i].file, 0);
    world_plane_start(w);
    world_tell_plane(w, "slow 5");
    world_uplink_start(w);
    world_agent_accept(w);
    say_sources(w, s, 3);
    /* not a measure of speed: only so that a test that stands still ends */
    int64_t deadline = clock_boot_ms() + 200000, next_kill = clock_boot_ms() + 200;
    while (!s[0].over || !s[1].over || !s[2].over) {
        assert_true(clock_boot_ms() < deadline);
        grow_one(w, &s[rand() % 3]);
        bool there = take_acks(w, s, 3, 5);
        if (there && clock_boot_ms() > next_kill && kills < 25) {
            if (rand() % 4 == 0) {
                world_tell_plane(w, "drop");
                drops++;
            } else {
                world_uplink_kill(w, SIGKILL);
                kills++;
                world_uplink_start(w);
                there = false;
            }
            next_kill = clock_boot_ms() + 50 + rand() % 250;
        }
        if (!there) {
            world_agent_drop(w);
            world_agent_accept(w);
            say_sources(w, s, 3);
        }
    }
    assert_true(kills > 3);
    assert_true(world_same_files(w, "spool-1", "streams/events"));
    assert_true(world_same_files(w, "spool-2", "streams/log_dep_0123456789abcdef"));
    assert_true(world_same_files(w, "spool-3", "streams/log_dep_00000000000000ff"));
    assert_true(world_plane_did_not_say(w, "\"breach\""));
    print_message("killed %d times, cut %d times\n", kills, drops);
}

static void an_agent_restart_keeps_the_plane_and_says_hello_again(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_expect_plane(w, "\"hello\"", NULL);
    world_grow(w, "spool-log", 200000);
    offer(w, 2, LOG, "spool-log", 100000, false);
    world_agent_expect(w, LINK_ACKED);
    world_agent_drop(w);
    world_expect_plane(w, "\"error\"", "E_AGENT_AWAY");
    world_agent_accept(w);
    world_agent_begin(w);
    offer(w, 7, LOG, "spool-log", 200000, true);
    world_agent_ready(w);
    assert_true(world_expect_online(w, true)->online);
    world_expect_plane(w, "\"hello\"", LOG);
    for (;;) {
        const struct link_grown *acked = ipc_body(world_agent_expect(w, LINK_ACKED), sizeof *acked);
        assert_int_equal(acked->id, 7);
        if (acked->closed)
            break;
    }
    assert_true(world_same_files(w, "spool-log", "streams/log_dep_0123456789abcdef"));
    assert_true(world_plane_did_not_say(w, "\"connected\""));
}

static void a_stream_replaced_by_a_newer_base_goes_on(void **state)
{
    struct world *w = *state;
    world_grow(w, "spool-a", 50000);
    world_plane_start(w);
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_begin(w);
    offer(w, 1, EVENTS, "spool-a", 50000, false);
    world_agent_ready(w);
    while (((const struct link_grown *)world_agent_expect(w, LINK_ACKED)->body)->end != 50000)
        ;
    world_grow(w, "spool-b", 7000); /* what was acknowledged is cut off: the new file begins at 50000 */
    struct link_id gone = {.id = 1};
    world_agent_send(w, LINK_STREAM_GONE, &gone, sizeof gone, -1);
    struct link_stream body = {.id = 2, .name = EVENTS, .base = 50000, .end = 57000};
    world_agent_send(w, LINK_STREAM, &body, sizeof body, world_open_file(w, "spool-b"));
    const struct link_grown *acked;
    do
        acked = ipc_body(world_agent_expect(w, LINK_ACKED), sizeof *acked);
    while (acked->end != 57000);
    assert_int_equal(acked->id, 2);
    char command[256];
    snprintf(command, sizeof command, "cat %s/spool-a %s/spool-b > %s/both", w->folder, w->folder, w->folder);
    assert_int_equal(system(command), 0);
    assert_true(world_same_files(w, "both", "streams/events"));
}

static void a_broken_agent_record_ends_only_that_connection(void **state)
{
    struct world *w = *state;
    come_online(w);
    struct link_stream body = {.id = 1, .name = "../etc/passwd"};
    world_grow(w, "spool", 10);
    world_agent_send(w, LINK_STREAM, &body, sizeof body, world_open_file(w, "spool"));
    for (enum ipc_result rc = IPC_OK; rc != IPC_CLOSED; rc = ipc_recv(w->link, &w->record, NULL)) {
        ipc_close_fds(&w->record);
        assert_int_not_equal(rc, IPC_ERROR);
        poll(&(struct pollfd){.fd = w->link, .events = POLLIN}, 1, WORLD_WAIT_MS);
    }
    world_agent_drop(w);
    world_agent_accept(w);
    world_agent_hello(w);
    (void)world_expect_online(w, true);
    assert_true(world_plane_did_not_say(w, "\"disconnected\""));
}

static void comes_back_after_goaway_and_resumes_the_session(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_expect_plane(w, "\"connected\"", "\"resumed\": false");
    int64_t from = clock_boot_ms();
    world_tell_plane(w, "text {\"type\":\"goaway\",\"retry_after\":2}");
    const struct link_online *offline = world_expect_online(w, false);
    assert_non_null(strstr(offline->text, "come back in 2 seconds"));
    const struct link_online *online = world_expect_online(w, true);
    assert_int_equal(online->resumed, 1);
    assert_true(clock_boot_ms() - from >= 2000);
    world_expect_plane(w, "\"connected\"", "\"resumed\": true");
}

static void a_plane_that_falls_silent_is_given_up(void **state)
{
    struct world *w = *state;
    world_plane_start(w);
    world_tell_plane(w, "heartbeat 1");
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_hello(w);
    (void)world_expect_online(w, true);
    int64_t from = clock_boot_ms();
    world_tell_plane(w, "mute");
    const struct link_online *offline = world_expect_online(w, false);
    assert_non_null(strstr(offline->text, "2 pings"));
    assert_in_range(clock_boot_ms() - from, 1900, 5000);
}

static void refusals_and_an_absent_plane_are_told_in_sentences(void **state)
{
    struct world *w = *state;
    come_online(w);
    world_tell_plane(w, "reject 403");
    world_tell_plane(w, "drop");
    const struct link_online *offline = world_expect_online(w, false);
    while (strstr(offline->text, "403") == NULL)
        offline = world_expect_online(w, false);
    world_plane_stop(w);
    while (strstr(offline->text, "cannot be reached") == NULL)
        offline = world_expect_online(w, false);
    assert_non_null(strstr(offline->text, "https://127.0.0.1:"));
    assert_true(world_uplink_lives(w));
    world_plane_start(w); /* on another port: agent.json is read again */
    (void)world_expect_online(w, true);
}

/* Puts a certificate of this life, counted in days from now, beside the host's key. */
static void replace_certificate(struct world *w, int from_days, int to_days)
{
    int64_t day = INT64_C(86400) * 1000, now = clock_wall_ms();
    struct error err = {0};
    AUTO_BUF struct buf key = BUF(X509_PEM_MAX), csr = BUF(X509_PEM_MAX), cert = BUF(X509_PEM_MAX);
    world_read(w, "identity/key.pem", &key);
    assert_int_equal(x509_make_csr(buf_text(&key), WORLD_SERVER, &csr, &err), 0);
    const struct x509_issue what = {.ca_cert_pem = buf_text(&w->ca_pem), .ca_key_pem = buf_text(&w->ca_key),
                                    .csr_pem = buf_text(&csr), .common_name = WORLD_SERVER, .use = X509_CLIENT,
                                    .not_before_ms = now + from_days * day, .not_after_ms = now + to_days * day};
    assert_int_equal(x509_issue(&what, &cert, &err), 0);
    world_write(w, "identity/cert.pem", buf_text(&cert), 0600);
}

static void restart_with(struct world *w, int from_days, int to_days)
{
    come_online(w);
    world_uplink_kill(w, SIGTERM);
    world_agent_drop(w);
    replace_certificate(w, from_days, to_days);
    world_uplink_start(w);
    world_agent_accept(w);
    world_agent_hello(w);
}

static void renews_a_certificate_in_its_last_third(void **state)
{
    struct world *w = *state;
    AUTO_BUF struct buf before = BUF(X509_PEM_MAX), after = BUF(X509_PEM_MAX);
    struct x509_info info;
    restart_with(w, -61, 29);
    world_read(w, "identity/cert.pem", &before);
    (void)world_expect_online(w, true);
    world_expect_plane(w, "\"cert\"", "BEGIN CERTIFICATE REQUEST");
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    do {
        assert_true(clock_boot_ms() < deadline);
        poll(NULL, 0, 20);
        after.size = 0;
        world_read(w, "identity/cert.pem", &after);
    } while (strcmp(buf_text(&before), buf_text(&after)) == 0);
    assert_int_equal(x509_read(buf_text(&after), &info, NULL), 0);
    assert_true(info.not_after_ms > clock_wall_ms() + INT64_C(89) * 86400 * 1000);
    world_tell_plane(w, "drop"); /* the new one is used from the next connection on, and nothing more is due */
    (void)world_expect_online(w, false);
    assert_false(world_expect_online(w, true)->resumed);
    assert_true(world_plane_did_not_say(w, "\"cert\""));
}

static void does_not_renew_before_that(void **state)
{
    struct world *w = *state;
    restart_with(w, -59, 31);
    (void)world_expect_online(w, true);
    world_expect_plane(w, "\"connected\"", NULL);
    assert_true(world_plane_did_not_say(w, "\"cert\""));
}

static void an_expired_certificate_is_told_and_no_reason_to_exit(void **state)
{
    struct world *w = *state;
    restart_with(w, -91, -1);
    const struct link_online *offline = world_expect_online(w, false);
    while (strstr(offline->text, "certificate expired on") == NULL)
        offline = world_expect_online(w, false);
    assert_true(world_uplink_lives(w));
}

static void people_can_read_and_nothing_else(void **state)
{
    struct world *w = *state;
    come_online(w);
    char *status = ask(w, "GET", "/v1/status");
    assert_non_null(strstr(status, "HTTP/1.1 200"));
    assert_non_null(strstr(status, "\"online\":true"));
    assert_null(strstr(status, "\"online\":false"));
    assert_non_null(strstr(status, "\"live\":\"1-0123456789ab\""));
    assert_non_null(strstr(status, "\"plane\":\"cdcd"));
    free(status);
    char *projects = ask(w, "GET", "/v1/projects");
    assert_non_null(strstr(projects, "{\"projects\":[{\"project\":\"shop\""));
    free(projects);
    char *head = ask(w, "HEAD", "/healthz");
    assert_non_null(strstr(head, "HTTP/1.1 200"));
    assert_null(strstr(head, "{"));
    free(head);
    assert_answer(w, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "{\"status\":\"ok\",\"online\":true}");
    assert_answer(w, "GET /v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "E_HOST");
    assert_answer(w, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n", "E_ORIGIN");
    assert_answer(w, "POST /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "E_METHOD");
    assert_answer(w, "GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "E_NOT_FOUND");
    assert_answer(w, "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "400");
}

static void a_slow_reader_is_cut_off(void **state)
{
    struct world *w = *state;
    start_all(w);
    int64_t from = clock_boot_ms();
    free(world_ask(w, "GET /v1/status HTTP/1.1\r\nHost: lo"));
    assert_in_range(clock_boot_ms() - from, 4000, 9000);
}

static void the_33rd_reader_is_told_to_wait(void **state)
{
    struct world *w = *state;
    int idle[32];
    start_all(w);
    for (size_t i = 0; i < 32; i++)
        idle[i] = world_reach(w);
    assert_answer(w, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "503");
    for (size_t i = 0; i < 32; i++)
        close(idle[i]);
    int64_t deadline = clock_boot_ms() + WORLD_WAIT_MS;
    for (bool served = false; !served;) { /* that they are gone is noticed in a moment */
        char *answer = ask(w, "GET", "/healthz");
        served = strstr(answer, "HTTP/1.1 200") != NULL;
        free(answer);
        assert_true(clock_boot_ms() < deadline);
    }
}

/* test_uplink [PATTERN]: only the tests that match. */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const char *missing = world_missing();
    if (missing != NULL) {
        printf("skipped: %s\n", missing);
        return 77;
    }
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(enrols_once_and_says_what_the_host_has),
        WITH_WORLD(a_used_token_beside_a_good_certificate_is_dropped),
        WITH_WORLD(a_new_token_while_online_enrols_again),
        WITH_WORLD(a_refused_token_is_the_reason_people_read),
        WITH_WORLD(the_secret_goes_to_nobody_but_the_pinned_plane),
        WITH_WORLD(loose_files_keep_it_offline_and_alive),
        WITH_WORLD(relays_documents_and_asks_for_missing_ones),
        WITH_WORLD(a_new_challenge_is_asked_for_and_said),
        WITH_WORLD(a_hostile_plane_gets_errors_and_nothing_happens),
        WITH_WORLD(sends_streams_byte_for_byte_and_tells_what_is_durable),
        WITH_WORLD(streams_arrive_whole_however_often_it_is_killed),
        WITH_WORLD(an_agent_restart_keeps_the_plane_and_says_hello_again),
        WITH_WORLD(a_stream_replaced_by_a_newer_base_goes_on),
        WITH_WORLD(a_broken_agent_record_ends_only_that_connection),
        WITH_WORLD(comes_back_after_goaway_and_resumes_the_session),
        WITH_WORLD(a_plane_that_falls_silent_is_given_up),
        WITH_WORLD(refusals_and_an_absent_plane_are_told_in_sentences),
        WITH_WORLD(renews_a_certificate_in_its_last_third),
        WITH_WORLD(does_not_renew_before_that),
        WITH_WORLD(an_expired_certificate_is_told_and_no_reason_to_exit),
        WITH_WORLD(people_can_read_and_nothing_else),
        WITH_WORLD(a_slow_reader_is_cut_off),
        WITH_WORLD(the_33rd_reader_is_told_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
