/*
 * sseload: holds thousands of event streams in one thread and counts what arrives.
 *
 *   sseload PORT CHANNELS EVENTS_PATH PUBLISH_PATH EVENT_BYTES
 *
 * Session i follows channel i % CHANNELS; "{}" in the paths stands for the channel. Commands come
 * in on stdin, one a line; each is answered by one line of JSON on stdout, and those marked with
 * a star by {"did":"armed"} first, when counting has begun.
 *
 *   connect N            open sessions until there are N; one counts as open when the first bytes
 *                        of its body have arrived
 *   closed EVENTS SECS   publish one event by POST, wait until every session has it, publish the
 *                        next; ends after EVENTS events, or after the round that SECS is over in
 *   burst EVENTS WINDOW  publish EVENTS events by POST, channel after channel, with up to WINDOW
 *                        requests under way on one connection
 *   expect TOTAL *       count TOTAL deliveries that somebody else publishes
 *   deploy PORT *        reconnect sessions that are closed to PORT, as an EventSource does: after
 *                        the `retry:` that the stream set, with `Last-Event-ID`. A line on stdin
 *                        with the number of events published meanwhile ends it, once all
 *                        sessions are back and have them
 *   quit
 *
 * What makes a delivery: a block with a data line whose JSON holds "seq". The seq of one session
 * must rise by the number of channels each time; "disorder" counts where it does not, so that a
 * lost and a doubled event cannot make up for each other. "ts" is CLOCK_MONOTONIC in nanoseconds
 * at the publisher, from which the latency of each delivery follows. Anything unexpected (a closed
 * connection, a status other than 2xx, a stream-reset) is counted, never tolerated silently.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_SESSIONS = 20000,
    MAX_BATCH = 512,
    CARRY_BYTES = 1024,
    ID_BYTES = 130,
    CONNECTS_UNDER_WAY = 256,
    MAX_LATENCIES = 4000000,
    DEFAULT_RETRY_MS = 3000, /* Chromium's, where the stream sets none */
};
static const double IDLE_SECONDS = 20; /* without a delivery: whatever is missing is lost */
static const double CONNECT_SECONDS = 180;

typedef enum { CLOSED, CONNECTING, IN_HEAD, IN_BODY } Stage;
typedef enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END } ChunkStage;

typedef struct {
    int fd;
    int index;
    Stage stage;
    ChunkStage chunk_stage;
    bool is_chunked;
    bool is_open; /* the first bytes of the body have come */
    bool has_event;
    size_t chunk_rest;
    size_t carried; /* bytes of an unfinished line, or of the head */
    int64_t seq;    /* of the last event, -1 before the first */
    int64_t coming; /* seq of the event whose end has not come yet */
    uint64_t ts;
    uint64_t events;
    int retry_ms;
    uint64_t closed_at;
    uint64_t reconnect_at;
    char last_id[ID_BYTES];
    char carry[CARRY_BYTES];
} Session;

typedef struct {
    uint64_t events, bytes, closed, disorder, resets, refused, began, ended;
    double cpu_began;
} Counts;

static int port, channel_count, event_bytes;
static const char *events_path, *publish_path;

static Session* sessions;
static int session_count; /* wanted */
static int open_count;
static int epoll;
static Counts counts;
static uint64_t *latencies, latency_count;
static uint64_t now;
static char buffer[512 * 1024];
static bool is_deploying; /* sessions may be closed, and come back */

/* the connection that publishes */
static int control = -1;
static char* control_queue;
static size_t queued, queue_sent, queue_size;
static uint64_t responses, published, published_at;
static int response_match;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void fail(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char text[400];
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char* c = text; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = ' ';
    printf("{\"error\":\"%s\"}\n", text);
    fflush(stdout);
    exit(1);
}

/* ---- what arrives ---------------------------------------------------------------------- */

static bool number_after(const char* line, size_t length, const char* name, uint64_t* value) {
    size_t name_length = strlen(name);
    const char* end = line + length;
    const char* at = memmem(line, length, name, name_length);
    if (!at) return false;
    at += name_length;
    while (at < end && *at == ' ') at++;
    uint64_t number = 0;
    while (at < end && *at >= '0' && *at <= '9') number = number * 10 + (uint64_t)(*at++ - '0');
    *value = number;
    return true;
}

static void take_event(Session* s) {
    if (s->seq >= 0 && s->coming != s->seq + channel_count) counts.disorder++;
    s->seq = s->coming;
    s->events++;
    counts.events++;
    counts.ended = now;
    if (latency_count < MAX_LATENCIES) latencies[latency_count++] = now > s->ts ? now - s->ts : 0;
}

static void take_line(Session* s, const char* line, size_t length) {
    if (length && line[length - 1] == '\r') length--;
    if (!length) {
        if (s->has_event) take_event(s);
        s->has_event = false;
        return;
    }
    uint64_t value;
    if (length > 5 && !memcmp(line, "data:", 5)) {
        if (number_after(line, length, "\"seq\":", &value)) {
            s->coming = (int64_t)value;
            s->has_event = true;
            if (!number_after(line, length, "\"ts\":", &s->ts)) s->ts = now;
        }
    } else if (length > 3 && !memcmp(line, "id:", 3)) {
        const char* id = line + 3 + (line[3] == ' ');
        size_t id_length = length - (size_t)(id - line);
        if (id_length < ID_BYTES) {
            memcpy(s->last_id, id, id_length);
            s->last_id[id_length] = 0;
        }
    } else if (length > 6 && !memcmp(line, "retry:", 6)) {
        if (number_after(line, length, "retry:", &value)) s->retry_ms = (int)value;
    } else if (length >= 12 && memmem(line, length, "stream-reset", 12)) {
        counts.resets++;
    }
}

static void take_text(Session* s, const char* text, size_t length) {
    const char* end = text + length;
    while (text < end) {
        const char* newline = memchr(text, '\n', (size_t)(end - text));
        size_t part = (size_t)((newline ? newline : end) - text);
        if (!newline || s->carried) {
            if (s->carried + part > CARRY_BYTES) fail("a line is longer than %d", CARRY_BYTES);
            memcpy(s->carry + s->carried, text, part);
            s->carried += part;
            if (!newline) break;
            take_line(s, s->carry, s->carried);
            s->carried = 0;
        } else {
            take_line(s, text, part);
        }
        text = newline + 1;
    }
}

/* Returns false at the end of the body. */
static bool take_body(Session* s, const char* body, size_t length) {
    if (!s->is_chunked) {
        take_text(s, body, length);
        return true;
    }
    const char* end = body + length;
    while (body < end) switch (s->chunk_stage) {
            case CHUNK_SIZE: {
                char c = *body++;
                if (c >= '0' && c <= '9') s->chunk_rest = s->chunk_rest * 16 + (size_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                    s->chunk_rest = s->chunk_rest * 16 + (size_t)(c - 'a') + 10;
                else if (c >= 'A' && c <= 'F')
                    s->chunk_rest = s->chunk_rest * 16 + (size_t)(c - 'A') + 10;
                else if (c == ';') s->chunk_stage = CHUNK_EXTENSION;
                if (c != '\n') break;
                if (!s->chunk_rest) return false;
                s->chunk_stage = CHUNK_DATA;
                break;
            }
            case CHUNK_EXTENSION:
                if (*body++ == '\n') s->chunk_stage = CHUNK_DATA;
                break;
            case CHUNK_DATA: {
                size_t part = (size_t)(end - body);
                if (part > s->chunk_rest) part = s->chunk_rest;
                take_text(s, body, part);
                body += part;
                s->chunk_rest -= part;
                if (!s->chunk_rest) s->chunk_stage = CHUNK_END;
                break;
            }
            case CHUNK_END:
                if (*body++ == '\n') s->chunk_stage = CHUNK_SIZE;
                break;
        }
    return true;
}

/* ---- sessions -------------------------------------------------------------------------- */

static void fill_in(char* out, size_t size, const char* template, int channel) {
    const char* gap = strstr(template, "{}");
    if (!gap) fail("no {} in %s", template);
    snprintf(out, size, "%.*s%d%s", (int)(gap - template), template, channel, gap + 2);
}

static int connect_socket(int to_port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    /* reset instead of TIME_WAIT, or the next run finds no free port */
    struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to_port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr*)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    return fd;
}

static void watch(int operation, int fd, uint32_t events, void* owner) {
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) fail("epoll: %s", strerror(errno));
}

static void start_session(Session* s) {
    s->fd = connect_socket(port);
    s->stage = CONNECTING;
    s->is_open = s->has_event = false;
    s->carried = s->chunk_rest = 0;
    s->chunk_stage = CHUNK_SIZE;
    watch(EPOLL_CTL_ADD, s->fd, EPOLLOUT, s);
}

static void lose_session(Session* s) {
    if (s->is_open) {
        open_count--;
        counts.closed++;
        s->closed_at = now;
    }
    close(s->fd);
    s->is_open = false;
    s->stage = CLOSED;
    s->reconnect_at = now + (uint64_t)s->retry_ms * 1000000u;
}

static void send_request(Session* s) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error && is_deploying) {
        lose_session(s);
        return;
    }
    if (error) fail("session %d: %s", s->index, strerror(error));
    char path[256], request[1024], last_id[ID_BYTES + 32] = "";
    fill_in(path, sizeof path, events_path, s->index % channel_count);
    if (s->closed_at && s->last_id[0])
        snprintf(last_id, sizeof last_id, "Last-Event-ID: %s\r\n", s->last_id);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
                          "Cache-Control: no-cache\r\n%s\r\n",
                          path, port, last_id);
    if (write(s->fd, request, (size_t)length) != length) fail("request: %s", strerror(errno));
    s->stage = IN_HEAD;
    watch(EPOLL_CTL_MOD, s->fd, EPOLLIN, s);
}

/* Returns how many bytes belonged to the head. */
static size_t take_head(Session* s, const char* bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (s->carried == CARRY_BYTES - 1) fail("a response head is too long");
        s->carry[s->carried++] = bytes[i];
        if (s->carried < 4 || memcmp(s->carry + s->carried - 4, "\r\n\r\n", 4)) continue;
        s->carry[s->carried] = 0;
        if (strncmp(s->carry + 8, " 200", 4)) fail("session %d: %.60s", s->index, s->carry);
        s->is_chunked = strcasestr(s->carry, "transfer-encoding: chunked") != NULL;
        s->stage = IN_BODY;
        s->carried = 0;
        return i + 1;
    }
    return length;
}

static uint64_t downtime_count;
static uint64_t downtimes[MAX_SESSIONS];
static uint64_t returns[MAX_SESSIONS]; /* in the order of time */

static void has_opened(Session* s) {
    s->is_open = true;
    open_count++;
    if (!s->closed_at || downtime_count == MAX_SESSIONS) return;
    returns[downtime_count] = now;
    downtimes[downtime_count++] = now - s->closed_at;
}

static void read_session(Session* s) {
    ssize_t got = read(s->fd, buffer, sizeof buffer);
    now = clock_ns();
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        if (!s->is_open && !is_deploying) fail("session %d: closed while it opened", s->index);
        lose_session(s);
        return;
    }
    counts.bytes += (uint64_t)got;
    size_t head = s->stage == IN_HEAD ? take_head(s, buffer, (size_t)got) : 0;
    size_t rest = (size_t)got - head;
    if (!rest) return;
    if (!s->is_open) has_opened(s);
    if (!take_body(s, buffer + head, rest)) lose_session(s);
}

/* ---- publishing ------------------------------------------------------------------------ */

static void flush_control(void) {
    while (queue_sent < queued) {
        ssize_t sent = write(control, control_queue + queue_sent, queued - queue_sent);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) fail("publishing: %s", strerror(errno));
        queue_sent += (size_t)sent;
    }
    queued = queue_sent = 0;
}

static void open_control(void) {
    if (control >= 0) return;
    control = connect_socket(port);
    int on = 1;
    setsockopt(control, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLOUT};
    int waiting = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(waiting, EPOLL_CTL_ADD, control, &event);
    epoll_wait(waiting, &event, 1, 5000);
    close(waiting);
    watch(EPOLL_CTL_ADD, control, EPOLLIN, NULL);
}

static void publish(void) {
    char path[256], body[4096], head[512];
    fill_in(path, sizeof path, publish_path, (int)(published % (uint64_t)channel_count));
    published_at = clock_ns();
    int length = snprintf(body, sizeof body,
                          "{\"type\":\"order-updated\",\"ts\":%llu,\"seq\":%llu,\"text\":\"",
                          (unsigned long long)published_at, (unsigned long long)published++);
    while (length < event_bytes - 2) body[length++] = 'x';
    body[length++] = '"';
    body[length++] = '}';
    int head_length = snprintf(head, sizeof head,
                               "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                               "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                               path, port, length);
    size_t wanted = queued + (size_t)(length + head_length);
    if (wanted > queue_size) {
        queue_size = wanted * 2;
        control_queue = realloc(control_queue, queue_size);
        if (!control_queue) fail("out of memory");
    }
    memcpy(control_queue + queued, head, (size_t)head_length);
    memcpy(control_queue + queued + head_length, body, (size_t)length);
    queued = wanted;
    flush_control();
}

static void read_control(void) {
    static const char start[] = "HTTP/1.1 ";
    ssize_t got = read(control, buffer, sizeof buffer);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) fail("the server closed the connection that publishes");
    for (ssize_t i = 0; i < got; i++) {
        char c = buffer[i];
        if (response_match == (int)sizeof start - 1) {
            responses++;
            if (c != '2') counts.refused++;
            response_match = 0;
        } else {
            response_match = c == start[response_match] ? response_match + 1 : c == 'H';
        }
    }
}

/* ---- the loop -------------------------------------------------------------------------- */

static char stdin_owner;

/* Returns whether stdin has a line. */
static bool turn(int milliseconds) {
    static struct epoll_event events[MAX_BATCH];
    bool has_line = false;
    int count = epoll_wait(epoll, events, MAX_BATCH, milliseconds);
    now = clock_ns();
    for (int i = 0; i < count; i++) {
        void* owner = events[i].data.ptr;
        if (!owner) read_control();
        else if (owner == &stdin_owner) has_line = true;
        else if (((Session*)owner)->stage == CONNECTING) send_request(owner);
        else read_session(owner);
    }
    if (queued > queue_sent) flush_control();
    return has_line;
}

static void reset_counts(void) {
    memset(&counts, 0, sizeof counts);
    latency_count = 0;
    for (int i = 0; i < session_count; i++) sessions[i].events = 0;
    counts.began = counts.ended = now = clock_ns();
    counts.cpu_began = cpu_seconds();
}

/* Whether what is missing will never come. */
static bool is_over(void) {
    if (open_count < session_count) return true;
    uint64_t since = counts.ended > published_at ? counts.ended : published_at;
    if (counts.began > since) since = counts.began;
    return now > since + (uint64_t)(IDLE_SECONDS * 1e9);
}

static int compare(const void* a, const void* b) {
    uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
    return (x > y) - (x < y);
}

/* Nearest rank, in milliseconds; the values must be sorted. */
static double quantile(const uint64_t* values, uint64_t count, double part) {
    return count ? (double)values[(uint64_t)(part * (double)(count - 1) + 0.5)] / 1e6 : 0;
}

/* How many sessions came back within the busiest tenth of a second. */
static uint64_t busiest_tenth(void) {
    uint64_t most = 0;
    for (uint64_t first = 0, next = 0; next < downtime_count; next++) {
        while (returns[next] - returns[first] > 100000000u) first++;
        if (next - first + 1 > most) most = next - first + 1;
    }
    return most;
}

static void report(const char* did, uint64_t events, uint64_t expected, uint64_t* lasts) {
    double cpu = cpu_seconds() - counts.cpu_began;
    double seconds = (double)(counts.ended - counts.began) / 1e9;
    uint64_t fewest = UINT64_MAX, most = 0;
    for (int i = 0; i < session_count; i++) {
        if (sessions[i].events < fewest) fewest = sessions[i].events;
        if (sessions[i].events > most) most = sessions[i].events;
    }
    qsort(latencies, latency_count, sizeof *latencies, compare);
    printf(
        "{\"did\":\"%s\",\"sessions\":%d,\"events\":%llu,\"expected\":%llu,"
        "\"deliveries\":%llu,\"fewest\":%llu,\"most\":%llu,\"disorder\":%llu,\"closed\":%llu,"
        "\"resets\":%llu,\"refused\":%llu,\"bytes\":%llu,\"seconds\":%.6f,"
        "\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,",
        did, session_count, (unsigned long long)events, (unsigned long long)expected,
        (unsigned long long)counts.events, (unsigned long long)fewest, (unsigned long long)most,
        (unsigned long long)counts.disorder, (unsigned long long)counts.closed,
        (unsigned long long)counts.resets, (unsigned long long)counts.refused,
        (unsigned long long)counts.bytes, seconds, quantile(latencies, latency_count, .5),
        quantile(latencies, latency_count, .99), quantile(latencies, latency_count, 1));
    if (lasts) {
        qsort(lasts, events, sizeof *lasts, compare);
        printf("\"last_ms\":%.4f,\"last_p99_ms\":%.4f,", quantile(lasts, events, .5),
               quantile(lasts, events, .99));
    }
    if (downtime_count) {
        qsort(downtimes, downtime_count, sizeof *downtimes, compare);
        printf(
            "\"returned\":%llu,\"down_p50_ms\":%.2f,\"down_p99_ms\":%.2f,\"down_max_ms\":%.2f,"
            "\"busiest_tenth\":%llu,",
            (unsigned long long)downtime_count, quantile(downtimes, downtime_count, .5),
            quantile(downtimes, downtime_count, .99), quantile(downtimes, downtime_count, 1),
            (unsigned long long)busiest_tenth());
    }
    printf("\"client_cpu_seconds\":%.4f}\n", cpu);
    fflush(stdout);
}

static void arm(void) {
    printf("{\"did\":\"armed\"}\n");
    fflush(stdout);
}

/* ---- commands -------------------------------------------------------------------------- */

static void run_connect(int wanted) {
    if (wanted > MAX_SESSIONS) fail("at most %d sessions", MAX_SESSIONS);
    uint64_t began = now = clock_ns();
    int added = wanted - session_count, started = session_count;
    session_count = wanted;
    while (open_count < wanted) {
        while (started < wanted && started - open_count < CONNECTS_UNDER_WAY) {
            Session* s = &sessions[started];
            *s = (Session){.index = started, .seq = -1, .retry_ms = DEFAULT_RETRY_MS};
            start_session(s);
            started++;
        }
        turn(1000);
        if ((double)(now - began) / 1e9 > CONNECT_SECONDS)
            fail("only %d of %d sessions opened", open_count, wanted);
    }
    double seconds = (double)(clock_ns() - began) / 1e9;
    printf("{\"did\":\"connect\",\"sessions\":%d,\"added\":%d,\"seconds\":%.6f}\n", wanted, added,
           seconds);
    fflush(stdout);
}

static void run_closed(uint64_t most, double seconds) {
    open_control();
    uint64_t *lasts = calloc(most, sizeof *lasts), done = 0;
    if (!lasts) fail("out of memory");
    reset_counts();
    uint64_t began = counts.began;
    publish();
    while (!is_over()) {
        turn(200);
        if (counts.events < (done + 1) * (uint64_t)session_count) continue;
        lasts[done++] = counts.ended - published_at;
        if (done == most || (double)(counts.ended - began) / 1e9 > seconds) break;
        publish();
    }
    while (responses < published && !is_over()) turn(200);
    uint64_t events = counts.events < (done ? done : 1) * (uint64_t)session_count ? done + 1 : done;
    report("closed", done, events * (uint64_t)session_count, lasts);
    free(lasts);
}

static void run_burst(uint64_t events, uint64_t window) {
    open_control();
    reset_counts();
    uint64_t sent = 0;
    /* every session of a channel gets every event of it; channels have equally many of both */
    uint64_t expected = events * (uint64_t)session_count / (uint64_t)channel_count;
    while ((counts.events < expected || responses < published) && !is_over()) {
        while (sent < events && published - responses < window) {
            publish();
            sent++;
        }
        turn(200);
    }
    report("burst", events, expected, NULL);
}

static void run_expect(uint64_t total) {
    reset_counts();
    arm();
    while (counts.events < total && !is_over()) turn(200);
    report("expect", 0, total, NULL);
}

static void reconnect_due(void) {
    for (int i = 0; i < session_count; i++)
        if (sessions[i].stage == CLOSED && now >= sessions[i].reconnect_at)
            start_session(&sessions[i]);
}

static void run_deploy(int new_port) {
    reset_counts();
    port = new_port;
    is_deploying = true;
    downtime_count = 0;
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &stdin_owner);
    arm();
    bool was_said = false, has_total = false;
    uint64_t total = 0, end = counts.began + (uint64_t)(CONNECT_SECONDS * 1e9);
    while (now < end) {
        if (turn(1) && !has_total) {
            char line[64];
            has_total = true;
            watch(EPOLL_CTL_DEL, STDIN_FILENO, 0, NULL);
            if (!fgets(line, sizeof line, stdin)) fail("stdin closed");
            total = (uint64_t)atol(line) * (uint64_t)session_count;
            end = now + (uint64_t)(IDLE_SECONDS * 1e9);
        }
        reconnect_due();
        bool is_back = open_count == session_count && downtime_count >= (uint64_t)session_count;
        if (is_back && !was_said) {
            was_said = true;
            printf("{\"did\":\"back\",\"seconds\":%.4f}\n", (double)(now - counts.began) / 1e9);
            fflush(stdout);
        }
        if (is_back && has_total && counts.events >= total) break;
    }
    /* each was closed once, on purpose */
    counts.closed -= downtime_count < counts.closed ? downtime_count : counts.closed;
    report("deploy", 0, total, NULL);
    is_deploying = false;
}

int main(int argument_count, char** arguments) {
    if (argument_count != 6) fail("usage: sseload PORT CHANNELS EVENTS_PATH PUBLISH_PATH BYTES");
    port = atoi(arguments[1]);
    channel_count = atoi(arguments[2]);
    events_path = arguments[3];
    publish_path = arguments[4];
    event_bytes = atoi(arguments[5]);
    if (channel_count < 1 || event_bytes < 120 || event_bytes > 4000) fail("bad arguments");
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdin, NULL, _IONBF, 0); /* what waits must show in epoll */
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    sessions = calloc(MAX_SESSIONS, sizeof *sessions);
    latencies = malloc(MAX_LATENCIES * sizeof *latencies);
    if (!sessions || !latencies) fail("out of memory");
    memset(latencies, 0, MAX_LATENCIES * sizeof *latencies); /* no page faults while measuring */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        char verb[16] = "";
        double first = 0, second = 0;
        sscanf(line, "%15s %lf %lf", verb, &first, &second);
        if (!strcmp(verb, "connect")) run_connect((int)first);
        else if (!strcmp(verb, "closed")) run_closed((uint64_t)first, second);
        else if (!strcmp(verb, "burst")) run_burst((uint64_t)first, (uint64_t)second);
        else if (!strcmp(verb, "expect")) run_expect((uint64_t)first);
        else if (!strcmp(verb, "deploy")) run_deploy((int)first);
        else if (!strcmp(verb, "quit")) return 0;
        else fail("unknown command: %s", line);
    }
    return 0;
}
