// The bare system calls: what a program could reach without a library. Messages have an 8-byte length before them.

#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { BATCH = 16 * 1024, BUFFER = 256 * 1024, LARGE = 16 * 1024, HEAD = 8 };

static void check(bool ok, const char *what)
{
    if (!ok)
        die("%s: %s", what, strerror(errno));
}

// Sockets.

static socklen_t address(struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof *storage);
    if (!strncmp(args.url, "ipc://", 6)) {
        struct sockaddr_un *un = (void *)storage;
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof un->sun_path, "%s", args.url + 6);
        return sizeof *un;
    }
    const char *port = strrchr(args.url, ':');
    if (strncmp(args.url, "tcp://", 6) || !port)
        die("cannot use %s", args.url);
    struct sockaddr_in *in = (void *)storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)atoi(port + 1));
    return sizeof *in;
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int listener(void)
{
    struct sockaddr_storage a;
    socklen_t len = address(&a);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    check(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    check(!bind(fd, (void *)&a, len) && !listen(fd, 1024), "listen");
    return fd;
}

static int accept_one(int fd)
{
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    check(conn >= 0, "accept");
    no_delay(conn);
    return conn;
}

static int dial(void)
{
    struct sockaddr_storage a;
    socklen_t len = address(&a);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && !connect(fd, (void *)&a, len), "connect");
    no_delay(fd);
    return fd;
}

static int *accept_all(int fd)
{
    int *fds = calloc((size_t)args.peers, sizeof *fds);
    for (int i = 0; i < args.peers; i++)
        fds[i] = accept_one(fd);
    return fds;
}

static int *dial_all(void)
{
    int *fds = calloc((size_t)args.peers, sizeof *fds);
    for (int i = 0; i < args.peers; i++)
        fds[i] = dial();
    return fds;
}

static void write_all(int fd, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)data + at, len - at);
        check(n > 0, "write");
        at += (size_t)n;
    }
}

static void read_all(int fd, void *data, size_t len, bool spin)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)data + at, len - at, spin ? MSG_DONTWAIT : 0);
        if (n < 0 && errno == EAGAIN)
            continue;
        check(n > 0, "read");
        at += (size_t)n;
    }
}

static uint8_t *framed(size_t size)
{
    uint8_t *body = fill(size), *frame = malloc(HEAD + size);
    uint64_t len = size;
    memcpy(frame, &len, HEAD);
    memcpy(frame + HEAD, body, size);
    free(body);
    return frame;
}

static void wait_readable(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    epoll_wait(poll, &event, 1, -1);
    close(poll);
}

// Round trips.

static uint8_t *room;

static uint64_t take(int fd)
{
    read_all(fd, room, HEAD + args.size, args.spin);
    return sum(room + HEAD, args.size);
}

static void echo(int fd, uint64_t n)
{
    volatile uint64_t keep = 0;
    wait_readable(fd);
    while (n--) {
        keep += take(fd);
        write_all(fd, room, HEAD + args.size);
    }
}

__attribute__((noreturn)) static void bounce(int fd)
{
    uint8_t *frame = framed(args.size);
    uint64_t total = 0, start = 0;
    for (uint64_t i = 0; i < args.count + warm_up(); i++) {
        if (i == warm_up()) {
            start = now();
            total = 0;
        }
        write_all(fd, frame, HEAD + args.size);
        total += take(fd);
    }
    result(now() - start, args.count, total);
}

// Streams: batches of short messages, one call for each long one.

static uint8_t *batch(size_t *messages)
{
    size_t step = HEAD + args.size;
    *messages = BATCH / step ? BATCH / step : 1;
    uint8_t *frame = framed(args.size), *all = malloc(*messages * step);
    for (size_t i = 0; i < *messages; i++)
        memcpy(all + i * step, frame, step);
    free(frame);
    return all;
}

static void flood(int fd, uint64_t n)
{
    if (args.size >= LARGE) {
        uint8_t *body = fill(args.size);
        uint64_t len = args.size;
        while (n--) {
            struct iovec parts[2] = {{&len, HEAD}, {body, args.size}};
            ssize_t sent = writev(fd, parts, 2);
            check(sent >= HEAD, "write");
            write_all(fd, body + (sent - HEAD), args.size - (size_t)(sent - HEAD));
        }
        return;
    }
    size_t messages;
    uint8_t *all = batch(&messages);
    while (n) {
        size_t now_sent = n < messages ? (size_t)n : messages;
        write_all(fd, all, now_sent * (HEAD + args.size));
        n -= now_sent;
    }
}

__attribute__((noreturn)) static void drain_large(int fd)
{
    uint64_t total = 0, start = 0, head[1];
    uint8_t *body = malloc(args.size);
    read_all(fd, head, HEAD, false);
    read_all(fd, body, args.size, false);
    read_all(fd, head, HEAD, false);
    start = now();
    for (uint64_t i = 1; i <= args.count; i++) {
        // The body and the next head in one call, as a library that knows what follows would.
        size_t at = 0, want = args.size + (i < args.count ? HEAD : 0);
        while (at < want) {
            struct iovec parts[2] = {{body + at, args.size - at}, {head, HEAD}};
            if (at >= args.size)
                parts[0] = (struct iovec){(char *)head + (at - args.size), want - at};
            ssize_t n = readv(fd, parts, at < args.size && i < args.count ? 2 : 1);
            check(n > 0, "read");
            at += (size_t)n;
        }
        total += sum(body, args.size);
    }
    result(now() - start, args.count, total);
}

// A connection that is read in large pieces and cut into messages.
struct reader {
    int fd;
    size_t used;
    uint8_t *buffer;
};

static uint64_t slice(struct reader *r, uint64_t *total)
{
    ssize_t n = read(r->fd, r->buffer + r->used, BUFFER - r->used);
    if (n <= 0)
        return 0;
    size_t at = 0, end = r->used + (size_t)n;
    uint64_t messages = 0, len;
    while (end - at >= HEAD) {
        memcpy(&len, r->buffer + at, HEAD);
        if (end - at - HEAD < len)
            break;
        *total += sum(r->buffer + at + HEAD, len);
        at += HEAD + len;
        messages++;
    }
    memmove(r->buffer, r->buffer + at, end - at);
    r->used = end - at;
    return messages;
}

// Reads `want` messages from any of the connections.
__attribute__((noreturn)) static void drain(int *fds, int n, uint64_t want)
{
    if (args.size >= LARGE && n == 1)
        drain_large(fds[0]);
    struct reader *readers = calloc((size_t)n, sizeof *readers);
    int poll = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        readers[i] = (struct reader){fds[i], 0, malloc(BUFFER)};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &readers[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
    uint64_t total = 0, messages = 0, before = 0, start = 0;
    while (messages < want) {
        struct epoll_event events[64];
        int k = n > 1 ? epoll_wait(poll, events, 64, -1) : 1;
        for (int i = 0; i < k; i++) {
            uint64_t got = slice(n > 1 ? events[i].data.ptr : readers, &total);
            check(got || n > 1 || readers->used, "read");
            messages += got;
        }
        if (!start && messages) {
            start = now();
            before = messages;
            total = 0;
        }
    }
    result(now() - start, messages - before, total);
}

static void *flood_task(struct task *t)
{
    flood(((int *)t->state)[t->index], share());
    return NULL;
}

static void publish(const int *fds)
{
    size_t messages;
    uint8_t *all = batch(&messages);
    for (uint64_t n = args.count; n;) {
        size_t now_sent = n < messages ? (size_t)n : messages;
        for (int i = 0; i < args.peers; i++)
            write_all(fds[i], all, now_sent * (HEAD + args.size));
        n -= now_sent;
    }
}

// Requests of many clients. One client is served spinning, more of them as they come.

__attribute__((noreturn)) static void answer_empty(const int *fds)
{
    volatile uint64_t keep = 0;
    uint64_t n = (share() + 1) * (uint64_t)args.peers, empty = 0;
    if (args.peers == 1 && args.spin) {
        wait_readable(fds[0]);
        while (n--) {
            keep += take(fds[0]);
            write_all(fds[0], &empty, HEAD);
        }
        done();
    }
    int poll = epoll_create1(0);
    for (int i = 0; i < args.peers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
    while (n) {
        struct epoll_event events[64];
        int k = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < k; i++, n--) {
            read_all(events[i].data.fd, room, HEAD + args.size, false);
            keep += sum(room + HEAD, args.size);
            write_all(events[i].data.fd, &empty, HEAD);
        }
    }
    done();
}

static pthread_barrier_t barrier;

static void *client_task(struct task *t)
{
    int fd = ((int *)t->state)[t->index];
    uint8_t *frame = framed(args.size);
    uint64_t reply;
    for (uint64_t i = 0; i <= share(); i++) {
        write_all(fd, frame, HEAD + args.size);
        read_all(fd, &reply, HEAD, args.peers == 1 && args.spin);
        if (i == 0) {
            pthread_barrier_wait(&barrier);
            pthread_barrier_wait(&barrier);
            t->first = now();
        }
    }
    t->messages = share();
    t->last = now();
    return NULL;
}

// Surveys: each respondent blocks in a thread of its own.

static uint64_t survey_round(const int *fds, int poll, const uint8_t *frame)
{
    uint64_t total = 0;
    for (int i = 0; i < args.peers; i++)
        write_all(fds[i], frame, HEAD + args.size);
    for (int left = args.peers; left;) {
        struct epoll_event events[64];
        int k = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < k; i++, left--) {
            read_all(events[i].data.fd, room, HEAD + args.size, false);
            total += sum(room + HEAD, args.size);
        }
    }
    return total;
}

__attribute__((noreturn)) static void survey(const int *fds)
{
    int poll = epoll_create1(0);
    for (int i = 0; i < args.peers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
    uint8_t *frame = framed(args.size);
    wait_go();
    for (int i = 0; i < 5; i++)
        survey_round(fds, poll, frame);
    uint64_t total = 0, start = now();
    for (uint64_t i = args.count; i--;)
        total += survey_round(fds, poll, frame);
    result(now() - start, args.count, total);
}

static void *respondent_task(struct task *t)
{
    int fd = ((int *)t->state)[t->index];
    uint8_t *message = malloc(HEAD + args.size);
    while (recv(fd, message, HEAD + args.size, MSG_WAITALL) > 0) {
        t->messages += sum(message + HEAD, args.size) != 0;
        write_all(fd, message, HEAD + args.size);
    }
    return NULL;
}

// New connections. The client here serves every library: it greets as their protocol does and waits for the answer.

static const uint8_t push_greeting[8] = {0, 'S', 'P', 0, 0, 0x50, 0, 0};

__attribute__((noreturn)) static void connect_often(void)
{
    uint8_t *frame = framed(args.size);
    uint64_t *times = calloc(args.count, sizeof *times), total = 0;
    for (uint64_t i = 0; i <= args.count; i++) {
        uint8_t greeting[8];
        uint64_t start = now();
        int fd = dial();
        write_all(fd, push_greeting, 8);
        read_all(fd, greeting, 8, false);
        write_all(fd, frame, HEAD + args.size);
        read_all(fd, room, HEAD + args.size, false);
        uint64_t time = now() - start;
        close(fd);
        if (i) {
            times[i - 1] = time;
            total += time;
        }
    }
    result_of_times(times, args.count, total);
}

__attribute__((noreturn)) static void greet_and_echo(int fd)
{
    for (uint64_t i = 0; i <= args.count; i++) {
        uint8_t greeting[8];
        int conn = accept_one(fd);
        write_all(conn, push_greeting, 8);
        read_all(conn, greeting, 8, false);
        read_all(conn, room, HEAD + args.size, false);
        write_all(conn, room, HEAD + args.size);
        close(conn);
    }
    done();
}

__attribute__((noreturn)) static void greet_all(int fd)
{
    for (int i = 0; i < args.peers; i++) {
        uint8_t greeting[8];
        int conn = accept_one(fd);
        write_all(conn, push_greeting, 8);
        read_all(conn, greeting, 8, false);
    }
    done();
}

// Opens many connections, at most 64 of them unanswered at a time so that no queue of the system overflows, and
// keeps them.
static uint64_t connect_all(void)
{
    enum { WINDOW = 64 };
    int *fds = calloc((size_t)args.peers, sizeof *fds);
    bool sp = strcmp(args.proto, "zmq");
    uint8_t greeting[8];
    uint64_t start = now();
    for (int i = 0; i < args.peers + WINDOW; i++) {
        if (i >= WINDOW)
            read_all(fds[i - WINDOW], greeting, 8, false);
        if (i < args.peers) {
            fds[i] = dial();
            if (sp)
                write_all(fds[i], push_greeting, 8);
        }
    }
    return now() - start;
}

// Two threads in one process: a ring of slots, the shortest way there is to hand bytes over.

enum { SLOTS = 4096, SLOT = 248 };

struct ring {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    struct {
        uint64_t len;
        union {
            uint8_t bytes[SLOT];
            uint8_t *far;
        };
    } slots[SLOTS];
};

static struct ring *there, *back;

static void pause_a_while(int *tries)
{
    if (++*tries % 256 == 0)
        sched_yield();
    else
        __builtin_ia32_pause();
}

static void ring_send(struct ring *r, const uint8_t *data, size_t len)
{
    static _Thread_local uint64_t seen[2];
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed), *tail = &seen[r == back];
    for (int tries = 0; head - *tail >= SLOTS; pause_a_while(&tries))
        *tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    r->slots[head % SLOTS].len = len;
    uint8_t *to = r->slots[head % SLOTS].bytes;
    if (len > SLOT)
        r->slots[head % SLOTS].far = to = malloc(len);
    memcpy(to, data, len);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

static uint64_t ring_take(struct ring *r)
{
    static _Thread_local uint64_t seen[2];
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed), *head = &seen[r == back];
    for (int tries = 0; *head == tail; pause_a_while(&tries))
        *head = atomic_load_explicit(&r->head, memory_order_acquire);
    size_t len = r->slots[tail % SLOTS].len;
    uint8_t *from = len > SLOT ? r->slots[tail % SLOTS].far : r->slots[tail % SLOTS].bytes;
    uint64_t total = sum(from, len);
    if (len > SLOT)
        free(from);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return total;
}

static void *ring_echo_task(struct task *t)
{
    (void)t;
    volatile uint64_t keep = 0;
    uint8_t *body = fill(args.size);
    for (uint64_t i = args.count + warm_up(); i--;) {
        keep += ring_take(there);
        ring_send(back, body, args.size);
    }
    return NULL;
}

static void *ring_flood_task(struct task *t)
{
    (void)t;
    uint8_t *body = fill(args.size);
    for (uint64_t i = 0; i <= args.count; i++)
        ring_send(there, body, args.size);
    return NULL;
}

__attribute__((noreturn)) static void both(void)
{
    bool lat = pattern("pair-lat") || pattern("reqrep-lat");
    there = aligned_alloc(64, sizeof *there);
    back = aligned_alloc(64, sizeof *back);
    memset(there, 0, sizeof *there);
    memset(back, 0, sizeof *back);
    ready();
    wait_go();
    uint64_t total = 0, start;
    if (!lat) {
        start_tasks(1, ring_flood_task, NULL);
        ring_take(there);
        start = now();
        for (uint64_t i = args.count; i--;)
            total += ring_take(there);
        result(now() - start, args.count, total);
    }
    uint8_t *body = fill(args.size);
    start_tasks(1, ring_echo_task, NULL);
    start = 0;
    for (uint64_t i = 0; i < args.count + warm_up(); i++) {
        if (i == warm_up()) {
            start = now();
            total = 0;
        }
        ring_send(there, body, args.size);
        total += ring_take(back);
    }
    result(now() - start, args.count, total);
}

__attribute__((noreturn)) static void serve(void)
{
    int fd = listener();
    ready();
    if (pattern("pair-lat") || pattern("reqrep-lat")) {
        echo(accept_one(fd), args.count + warm_up());
        done();
    }
    if (pattern("connect"))
        greet_and_echo(fd);
    if (pattern("accept"))
        greet_all(fd);
    int *fds = accept_all(fd);
    if (pattern("pair") || pattern("pushpull"))
        drain(fds, 1, args.count + 1);
    if (pattern("fanin"))
        drain(fds, args.peers, share() * (uint64_t)args.peers);
    if (pattern("clients"))
        answer_empty(fds);
    if (pattern("pubsub")) {
        wait_go();
        publish(fds);
        done();
    }
    if (pattern("survey"))
        survey(fds);
    die("cannot serve %s", args.pattern);
}

__attribute__((noreturn)) static void drive(void)
{
    if (pattern("accept") || pattern("idle")) {
        uint64_t time = pattern("idle") ? connect_all() : 0;
        ready();
        wait_go();
        if (pattern("idle"))
            done();
        time = connect_all();
        result(time, (uint64_t)args.peers, 0);
    }
    if (pattern("connect")) {
        ready();
        wait_go();
        connect_often();
    }
    int *fds = dial_all();
    if (pattern("pubsub")) {
        ready();
        drain(fds, args.peers, args.count * (uint64_t)args.peers);
    }
    struct task *tasks = NULL;
    if (pattern("clients")) {
        pthread_barrier_init(&barrier, NULL, (unsigned)args.peers + 1);
        tasks = start_tasks(args.peers, client_task, fds);
        pthread_barrier_wait(&barrier);
    }
    if (pattern("survey"))
        start_tasks(args.peers, respondent_task, fds);
    ready();
    wait_go();
    if (pattern("survey"))
        done();
    if (pattern("pair-lat") || pattern("reqrep-lat"))
        bounce(fds[0]);
    if (pattern("pair") || pattern("pushpull")) {
        flood(fds[0], args.count + 1);
        done();
    }
    if (pattern("fanin")) {
        join_tasks(start_tasks(args.peers, flood_task, fds), args.peers);
        done();
    }
    if (pattern("clients")) {
        pthread_barrier_wait(&barrier);
        join_tasks(tasks, args.peers);
        result_of_tasks(tasks, args.peers);
    }
    die("cannot drive %s", args.pattern);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    room = malloc(HEAD + args.size);
    if (role("serve"))
        serve();
    if (role("drive"))
        drive();
    if (role("both"))
        both();
    die("unknown role %s", args.role);
}
