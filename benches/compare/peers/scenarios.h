// The patterns, written once over a few calls that each message library provides before it includes this file:
//
//   sp_sock                                a socket
//   sp_msg                                 a received message
//   sp_body                                a message prepared to be sent many times
//   sp_sock sp_open(enum kind, bool stream);
//   void sp_listen(sp_sock, const char *), sp_dial(sp_sock, const char *), sp_close(sp_sock);
//   void sp_prepare(sp_body *, const uint8_t *, size_t), sp_send(sp_sock, sp_body *);
//   void sp_send_copy(sp_sock, const void *, size_t);
//   bool sp_recv(sp_sock, sp_msg *);       false when nothing comes any more (survey only)
//   const uint8_t *sp_data(sp_msg *); size_t sp_len(sp_msg *);
//   void sp_return(sp_sock, sp_msg *), sp_drop(sp_msg *);

static sp_sock open_listen(enum kind kind, bool stream)
{
    sp_sock s = sp_open(kind, stream);
    sp_listen(s, args.url);
    return s;
}

static sp_sock open_dial(enum kind kind, bool stream)
{
    sp_sock s = sp_open(kind, stream);
    sp_dial(s, args.url);
    return s;
}

static sp_sock *dial_all(enum kind kind, bool stream)
{
    sp_sock *socks = calloc((size_t)args.peers, sizeof *socks);
    for (int i = 0; i < args.peers; i++)
        socks[i] = open_dial(kind, stream);
    return socks;
}

static uint64_t take(sp_sock s)
{
    sp_msg m;
    if (!sp_recv(s, &m))
        die("receive failed");
    if (sp_len(&m) != args.size)
        die("wrong message size %zu", sp_len(&m));
    uint64_t total = sum(sp_data(&m), args.size);
    sp_drop(&m);
    return total;
}

// Round trips.

static void echo(sp_sock s, uint64_t n)
{
    volatile uint64_t keep = 0;
    while (n--) {
        sp_msg m;
        if (!sp_recv(s, &m))
            die("receive failed");
        keep += sum(sp_data(&m), sp_len(&m));
        sp_return(s, &m);
    }
}

__attribute__((noreturn)) static void bounce(sp_sock s)
{
    sp_body body;
    sp_prepare(&body, fill(args.size), args.size);
    for (uint64_t i = warm_up(); i--;) {
        sp_send(s, &body);
        take(s);
    }
    uint64_t total = 0, start = now();
    for (uint64_t i = args.count; i--;) {
        sp_send(s, &body);
        total += take(s);
    }
    result(now() - start, args.count, total);
}

// Streams. The clock starts with the first message, which is not counted.

__attribute__((noreturn)) static void drain(sp_sock s, uint64_t n)
{
    take(s);
    uint64_t total = 0, start = now();
    for (uint64_t i = n; i--;)
        total += take(s);
    result(now() - start, n, total);
}

static void flood(sp_sock s, uint64_t n)
{
    sp_body body;
    sp_prepare(&body, fill(args.size), args.size);
    while (n--)
        sp_send(s, &body);
}

static void *flood_task(struct task *t)
{
    flood(((sp_sock *)t->state)[t->index], share());
    return NULL;
}

static void *echo_task(struct task *t)
{
    echo(*(sp_sock *)t->state, args.count + warm_up());
    return NULL;
}

static void *flood_one_task(struct task *t)
{
    flood(*(sp_sock *)t->state, args.count + 1);
    return NULL;
}

// Publishing. The first byte of a message tells greetings (sent until all subscribers are there), data and ends
// (sent until the runner has seen the result) apart.

enum { HELLO = 0xff, END = 0xfe };

static volatile bool started, stopped;

static void *listen_to_runner(struct task *t)
{
    (void)t;
    wait_go();
    started = true;
    char rest[16];
    while (read(0, rest, sizeof rest) > 0)
        ;
    stopped = true;
    return NULL;
}

__attribute__((noreturn)) static void publish(sp_sock s)
{
    sp_body hello, data, end;
    uint8_t *text = fill(args.size);
    sp_prepare(&data, text, args.size);
    text = fill(args.size);
    text[0] = HELLO;
    sp_prepare(&hello, text, args.size);
    text = fill(args.size);
    text[0] = END;
    sp_prepare(&end, text, args.size);
    start_tasks(1, listen_to_runner, NULL);
    while (!started) {
        sp_send(s, &hello);
        sleep_ns(2000000);
    }
    sleep_ns(20000000);
    for (uint64_t i = args.count; i--;)
        sp_send(s, &data);
    puts("{\"done\":true}");
    fflush(stdout);
    while (!stopped) {
        sleep_ns(2000000);
        sp_send(s, &end);
    }
    _exit(0);
}

static pthread_barrier_t barrier;

static void *subscribe_task(struct task *t)
{
    sp_sock s = ((sp_sock *)t->state)[t->index];
    bool greeted = false;
    for (;;) {
        sp_msg m;
        if (!sp_recv(s, &m))
            die("receive failed");
        uint8_t kind = sp_data(&m)[0];
        if (kind != HELLO && kind != END) {
            uint64_t total = sum(sp_data(&m), sp_len(&m));
            // Looking at the clock for each message would be a good part of the work.
            if (!t->messages++)
                t->first = t->last = now();
            else if (!(t->messages & 15))
                t->last = now();
            t->checksum += total;
        }
        sp_drop(&m);
        if (kind == HELLO && !greeted) {
            greeted = true;
            pthread_barrier_wait(&barrier);
        }
        if (kind == END)
            return NULL;
    }
}

// Requests of many clients, with empty replies.

__attribute__((noreturn)) static void answer_empty(sp_sock s)
{
    uint64_t n = (share() + 1) * (uint64_t)args.peers;
    volatile uint64_t keep = 0;
    while (n--) {
        keep += take(s);
        sp_send_copy(s, "", 0);
    }
    done();
}

static void *client_task(struct task *t)
{
    sp_sock s = ((sp_sock *)t->state)[t->index];
    sp_body body;
    sp_prepare(&body, fill(args.size), args.size);
    for (uint64_t i = 0; i <= share(); i++) {
        sp_msg m;
        sp_send(s, &body);
        if (!sp_recv(s, &m))
            die("receive failed");
        sp_drop(&m);
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

// Surveys.

static int survey_round(sp_sock s, sp_body *body, uint64_t *total)
{
    int answers = 0;
    sp_send(s, body);
    while (answers < args.peers) {
        sp_msg m;
        if (!sp_recv(s, &m))
            break;
        *total += sum(sp_data(&m), sp_len(&m));
        sp_drop(&m);
        answers++;
    }
    return answers;
}

__attribute__((noreturn)) static void survey(sp_sock s)
{
    sp_body body;
    uint64_t total = 0, answers = 0;
    sp_prepare(&body, fill(args.size), args.size);
    wait_go();
    for (int tries = 0; survey_round(s, &body, &total) < args.peers;)
        if (++tries == 5)
            die("not all respondents answer");
    for (int i = 0; i < 5; i++)
        survey_round(s, &body, &total);
    total = 0;
    uint64_t start = now();
    for (uint64_t i = args.count; i--;)
        answers += (uint64_t)survey_round(s, &body, &total);
    if (answers != args.count * (uint64_t)args.peers)
        die("%llu of %llu answers missing",
            (unsigned long long)(args.count * (uint64_t)args.peers - answers),
            (unsigned long long)(args.count * (uint64_t)args.peers));
    result(now() - start, args.count, total);
}

static void *respond_task(struct task *t)
{
    echo(((sp_sock *)t->state)[t->index], UINT64_MAX);
    return NULL;
}

// New connections, one after the other: from the call that connects to the first reply.

__attribute__((noreturn)) static void connect_often(void)
{
    sp_body body;
    sp_prepare(&body, fill(args.size), args.size);
    uint64_t *times = calloc(args.count, sizeof *times), total = 0;
    for (uint64_t i = 0; i <= args.count; i++) {
        sp_sock s = sp_open(REQ, false);
        uint64_t start = now();
        sp_dial(s, args.url);
        sp_send(s, &body);
        take(s);
        uint64_t time = now() - start;
        sp_close(s);
        if (i) {
            times[i - 1] = time;
            total += time;
        }
    }
    result_of_times(times, args.count, total);
}

// New connections, one after the other, closing included. `reconnects` lets a library resume sessions.

static bool connecting(void) { return pattern("handshakes") || pattern("reconnects"); }

__attribute__((noreturn)) static void connect_and_close(void)
{
    sp_body body;
    sp_prepare(&body, fill(args.size), args.size);
    uint64_t total = 0, start = 0;
    for (uint64_t i = 0; i <= args.count; i++) {
        sp_sock s = open_dial(REQ, false);
        sp_send(s, &body);
        uint64_t one = take(s);
        sp_close(s);
        if (i)
            total += one;
        else
            start = now();
    }
    result(now() - start, args.count, total);
}

// A paced stream that carries the time of sending.

__attribute__((noreturn)) static void pace(sp_sock s)
{
    prctl(PR_SET_TIMERSLACK, 1000UL);
    uint8_t *text = fill(args.size);
    uint64_t start = now();
    for (uint64_t sent = 0; sent < args.count;) {
        uint64_t time = now(), due = (uint64_t)((double)(time - start) * (double)args.rate / 1e9) + 1;
        for (; sent < due && sent < args.count; sent++) {
            time = now();
            memcpy(text, &time, sizeof time);
            sp_send_copy(s, text, args.size);
        }
        sleep_ns(100000);
    }
    done();
}

__attribute__((noreturn)) static void note_delays(sp_sock s)
{
    volatile uint64_t keep = 0;
    uint64_t *times = calloc(args.count, sizeof *times), start = 0;
    for (uint64_t i = 0; i < args.count; i++) {
        sp_msg m;
        if (!sp_recv(s, &m))
            die("receive failed");
        uint64_t sent, time = now();
        memcpy(&sent, sp_data(&m), sizeof sent);
        times[i] = time - sent;
        start = start ? start : time;
        keep += sum(sp_data(&m), sp_len(&m));
        sp_drop(&m);
    }
    result_of_times(times, args.count, now() - start);
}

// What a process with many sockets has in threads beyond its own.

__attribute__((noreturn)) static void many_sockets(void)
{
    char url[256];
    int before = count_threads();
    for (int i = 0; i < args.peers; i += 2) {
        snprintf(url, sizeof url, "%s-%d", args.url, i);
        sp_listen(sp_open(PULL, false), url);
        sp_dial(sp_open(PUSH, false), url);
    }
    sleep_ns(100000000);
    printf("{\"seconds\":0,\"messages\":%d,\"threads\":%d}\n", args.peers, count_threads() - before);
    finish();
}

__attribute__((noreturn)) static void serve(void)
{
    bool stream = pattern("pair") || pattern("pushpull");
    bool lat = pattern("pair-lat") || pattern("reqrep-lat");
    if (lat || pattern("connect") || connecting()) {
        sp_sock s = open_listen(pattern("pair-lat") ? PAIR : REP, false);
        ready();
        echo(s, args.count + (lat ? warm_up() : 1));
        done();
    }
    if (stream) {
        sp_sock s = open_listen(pattern("pair") ? PAIR : PULL, true);
        ready();
        drain(s, args.count);
    }
    if (pattern("fanin")) {
        sp_sock s = open_listen(PULL, true);
        ready();
        drain(s, share() * (uint64_t)args.peers - 1);
    }
    if (pattern("pubsub")) {
        sp_sock s = open_listen(PUB, true);
        ready();
        publish(s);
    }
    if (pattern("clients")) {
        sp_sock s = open_listen(REP, false);
        ready();
        answer_empty(s);
    }
    if (pattern("survey")) {
        sp_sock s = open_listen(SURVEYOR, false);
        ready();
        survey(s);
    }
    if (pattern("accept")) {
        open_listen(PULL, false);
        ready();
        done();
    }
    if (pattern("idle")) {
        open_listen(PULL, false);
        uint64_t before = heap();
        ready();
        wait_go();
        watch_idle(before);
    }
    if (pattern("loaded")) {
        sp_sock s = open_listen(PULL, true);
        ready();
        note_delays(s);
    }
    die("cannot serve %s", args.pattern);
}

__attribute__((noreturn)) static void drive(void)
{
    if (pattern("pair-lat") || pattern("reqrep-lat")) {
        sp_sock s = open_dial(pattern("pair-lat") ? PAIR : REQ, false);
        ready();
        wait_go();
        bounce(s);
    }
    if (pattern("pair") || pattern("pushpull")) {
        sp_sock s = open_dial(pattern("pair") ? PAIR : PUSH, true);
        ready();
        wait_go();
        flood(s, args.count + 1);
        done();
    }
    if (pattern("fanin")) {
        sp_sock *socks = dial_all(PUSH, true);
        ready();
        wait_go();
        join_tasks(start_tasks(args.peers, flood_task, socks), args.peers);
        done();
    }
    if (pattern("pubsub")) {
        sp_sock *socks = dial_all(SUB, true);
        pthread_barrier_init(&barrier, NULL, (unsigned)args.peers + 1);
        struct task *tasks = start_tasks(args.peers, subscribe_task, socks);
        pthread_barrier_wait(&barrier);
        ready();
        join_tasks(tasks, args.peers);
        result_of_tasks(tasks, args.peers);
    }
    if (pattern("clients")) {
        sp_sock *socks = dial_all(REQ, false);
        pthread_barrier_init(&barrier, NULL, (unsigned)args.peers + 1);
        struct task *tasks = start_tasks(args.peers, client_task, socks);
        pthread_barrier_wait(&barrier);
        ready();
        wait_go();
        pthread_barrier_wait(&barrier);
        join_tasks(tasks, args.peers);
        result_of_tasks(tasks, args.peers);
    }
    if (pattern("survey")) {
        start_tasks(args.peers, respond_task, dial_all(RESPONDENT, false));
        ready();
        wait_go();
        done();
    }
    if (pattern("connect")) {
        ready();
        wait_go();
        connect_often();
    }
    if (connecting()) {
        ready();
        wait_go();
        connect_and_close();
    }
    if (pattern("loaded")) {
        sp_sock s = open_dial(PUSH, true);
        ready();
        wait_go();
        pace(s);
    }
    die("cannot drive %s", args.pattern);
}

__attribute__((noreturn)) static void both(void)
{
    if (pattern("threads")) {
        ready();
        wait_go();
        many_sockets();
    }
    bool lat = pattern("pair-lat") || pattern("reqrep-lat");
    bool pair = pattern("pair") || pattern("pair-lat");
    sp_sock a = open_listen(pair ? PAIR : lat ? REP : PULL, !lat);
    sp_sock b = open_dial(pair ? PAIR : lat ? REQ : PUSH, !lat);
    ready();
    wait_go();
    if (lat) {
        start_tasks(1, echo_task, &a);
        bounce(b);
    }
    start_tasks(1, flood_one_task, &b);
    drain(a, args.count);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    if (role("serve"))
        serve();
    if (role("drive"))
        drive();
    if (role("both"))
        both();
    die("unknown role %s", args.role);
}
