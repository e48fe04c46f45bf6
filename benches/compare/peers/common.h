// What every peer shares: arguments, clock, checksum, and talking to the runner.
//
//   peer ROLE PATTERN URL SIZE COUNT [--peers N] [--rate R] [--spin on|off] [--proto sp|zmq|raw]
//        [--certificate FILE] [--ca FILE]
//
// A peer prints {"ready":true}, reads a line from standard input if it is to start something, prints one JSON line
// with its result, and leaves when standard input ends.

#ifndef COMMON_H
#define COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct args {
    const char *role, *pattern, *url, *proto, *certificate, *ca;
    size_t size;
    uint64_t count, rate;
    int peers;
    bool spin;
};

static struct args args;

// What certificates are for, with any address.
#define TLS_NAME "localhost"

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    _exit(1);
}

static void parse(int argc, char **argv)
{
    if (argc < 6)
        die("usage: %s ROLE PATTERN URL SIZE COUNT [OPTIONS]", argv[0]);
    args = (struct args){.role = argv[1], .pattern = argv[2], .url = argv[3], .proto = "sp",
                         .size = strtoull(argv[4], NULL, 10), .count = strtoull(argv[5], NULL, 10),
                         .rate = 10000, .peers = 1, .spin = true};
    for (int i = 6; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--peers"))
            args.peers = atoi(value);
        else if (!strcmp(name, "--rate"))
            args.rate = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--spin"))
            args.spin = !strcmp(value, "on");
        else if (!strcmp(name, "--proto"))
            args.proto = value;
        else if (!strcmp(name, "--certificate"))
            args.certificate = value;
        else if (!strcmp(name, "--ca"))
            args.ca = value;
        else
            die("unknown option %s", name);
    }
    if (args.peers < 1 || (argc - 6) % 2)
        die("bad options");
}

static bool role(const char *name) { return !strcmp(args.role, name); }
static bool pattern(const char *name) { return !strcmp(args.pattern, name); }

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&t, NULL);
}

// The sum of the body as 64-bit little-endian words, the last one padded with zeros: reads every byte.
static uint64_t sum(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t total = 0, word;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, p + i, 8);
        total += word;
    }
    if (i < len) {
        word = 0;
        memcpy(&word, p + i, len - i);
        total += word;
    }
    return total;
}

static uint8_t *fill(size_t len)
{
    uint8_t *data = malloc(len ? len : 1);
    if (!data)
        die("out of memory");
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + 3);
    return data;
}

static void ready(void)
{
    puts("{\"ready\":true}");
    fflush(stdout);
}

static void wait_go(void)
{
    char line[16];
    if (!fgets(line, sizeof line, stdin))
        _exit(1);
}

__attribute__((noreturn)) static void finish(void)
{
    fflush(stdout);
    char rest[16];
    while (read(0, rest, sizeof rest) > 0)
        ;
    _exit(0);
}

// The end that measures.
__attribute__((noreturn)) static void result(uint64_t ns, uint64_t messages, uint64_t checksum)
{
    printf("{\"seconds\":%.9f,\"messages\":%llu,\"checksum\":%llu}\n", (double)ns / 1e9,
           (unsigned long long)messages, (unsigned long long)checksum);
    finish();
}

// The other end.
__attribute__((noreturn)) static void done(void)
{
    puts("{\"done\":true}");
    finish();
}

struct task {
    pthread_t thread;
    void *(*run)(struct task *);
    void *state;
    int index;
    uint64_t messages, checksum, first, last;
};

static void *task_entry(void *task) { return ((struct task *)task)->run(task); }

static struct task *start_tasks(int n, void *(*run)(struct task *), void *state)
{
    struct task *tasks = calloc((size_t)n, sizeof *tasks);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    for (int i = 0; i < n; i++) {
        tasks[i] = (struct task){.run = run, .state = state, .index = i};
        if (pthread_create(&tasks[i].thread, &attr, task_entry, &tasks[i]))
            die("cannot start a thread");
    }
    return tasks;
}

static void join_tasks(struct task *tasks, int n)
{
    for (int i = 0; i < n; i++)
        pthread_join(tasks[i].thread, NULL);
}

// Totals of tasks that each noted when their first and last message came.
__attribute__((noreturn)) static void result_of_tasks(const struct task *tasks, int n)
{
    uint64_t first = UINT64_MAX, last = 0, messages = 0, checksum = 0;
    for (int i = 0; i < n; i++) {
        if (!tasks[i].messages)
            continue;
        first = tasks[i].first < first ? tasks[i].first : first;
        last = tasks[i].last > last ? tasks[i].last : last;
        messages += tasks[i].messages;
        checksum += tasks[i].checksum;
    }
    result(messages ? last - first : 0, messages, checksum);
}

// Rounds before the clock starts.
static uint64_t warm_up(void) { return (args.size > 65536 ? 3 : 50) + args.count / 20; }

// What each of `peers` does of `count`.
static uint64_t share(void) { return (args.count + (uint64_t)args.peers - 1) / (uint64_t)args.peers; }

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

__attribute__((noreturn)) static void result_of_times(uint64_t *times, uint64_t n, uint64_t total)
{
    qsort(times, n, sizeof *times, by_value);
    printf("{\"seconds\":%.9f,\"messages\":%llu,\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu}\n",
           (double)total / 1e9, (unsigned long long)n, (unsigned long long)times[n / 2],
           (unsigned long long)times[n * 99 / 100], (unsigned long long)times[n * 999 / 1000],
           (unsigned long long)times[n - 1]);
    finish();
}

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static uint64_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static uint64_t cpu_us(const struct rusage *u)
{
    return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000u +
           (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

// Idle connections: what they hold, and what they cost in two seconds. The one switch of our own sleep is taken off.
__attribute__((noreturn)) static void watch_idle(uint64_t before)
{
    sleep_ns(500000000);
    uint64_t after = heap();
    struct rusage a, b;
    getrusage(RUSAGE_SELF, &a);
    sleep_ns(2000000000);
    getrusage(RUSAGE_SELF, &b);
    long switches = b.ru_nvcsw - a.ru_nvcsw - 1;
    printf("{\"seconds\":2.0,\"messages\":%d,\"heap_per_pipe\":%.1f,\"switches\":%ld,\"cpu_us\":%llu,"
           "\"threads\":%d}\n",
           args.peers, ((double)after - (double)before) / args.peers, switches < 0 ? 0 : switches,
           (unsigned long long)(cpu_us(&b) - cpu_us(&a)), count_threads());
    finish();
}

#endif
