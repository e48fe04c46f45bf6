// nanomsg.

#include "common.h"
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/survey.h>
#include <nanomsg/tcp.h>

enum kind { PAIR, REQ, REP, PUSH, PULL, PUB, SUB, SURVEYOR, RESPONDENT };
typedef int sp_sock;
typedef struct {
    void *data;
    size_t len;
} sp_msg;
typedef struct {
    const uint8_t *data;
    size_t len;
} sp_body;

static void check(bool ok, const char *what)
{
    if (!ok)
        die("%s: %s", what, nn_strerror(nn_errno()));
}

static sp_sock sp_open(enum kind kind, bool stream)
{
    (void)stream;
    static const int protocols[] = {NN_PAIR, NN_REQ, NN_REP,      NN_PUSH,      NN_PULL,
                                    NN_PUB,  NN_SUB, NN_SURVEYOR, NN_RESPONDENT};
    int s = nn_socket(AF_SP, protocols[kind]), on = 1, unlimited = -1;
    check(s >= 0, "open");
    nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVMAXSIZE, &unlimited, sizeof unlimited);
    nn_setsockopt(s, NN_TCP, NN_TCP_NODELAY, &on, sizeof on);
    if (kind == SUB)
        check(!nn_setsockopt(s, NN_SUB, NN_SUB_SUBSCRIBE, "", 0), "subscribe");
    return s;
}

static void sp_listen(sp_sock s, const char *url) { check(nn_bind(s, url) >= 0, "listen"); }
static void sp_dial(sp_sock s, const char *url) { check(nn_connect(s, url) >= 0, "dial"); }
static void sp_close(sp_sock s) { nn_close(s); }

static void send_chunk(sp_sock s, void *chunk) { check(nn_send(s, &chunk, NN_MSG, 0) >= 0, "send"); }

static void sp_send_copy(sp_sock s, const void *data, size_t len)
{
    void *chunk = nn_allocmsg(len, 0);
    check(chunk, "message");
    memcpy(chunk, data, len);
    send_chunk(s, chunk);
}

// nanomsg cannot share a body between messages.
static void sp_prepare(sp_body *body, const uint8_t *data, size_t len) { *body = (sp_body){data, len}; }
static void sp_send(sp_sock s, sp_body *body) { sp_send_copy(s, body->data, body->len); }

static bool sp_recv(sp_sock s, sp_msg *m)
{
    int n = nn_recv(s, &m->data, NN_MSG, 0);
    if (n < 0 && nn_errno() != ETIMEDOUT && nn_errno() != EFSM)
        check(false, "receive");
    m->len = (size_t)n;
    return n >= 0;
}

static const uint8_t *sp_data(sp_msg *m) { return m->data; }
static size_t sp_len(sp_msg *m) { return m->len; }
static void sp_return(sp_sock s, sp_msg *m) { send_chunk(s, m->data); }
static void sp_drop(sp_msg *m) { nn_freemsg(m->data); }

#include "scenarios.h"
