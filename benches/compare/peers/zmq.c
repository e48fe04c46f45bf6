// libzmq. It has no surveys.

#include "common.h"
#include <errno.h>
#include <zmq.h>

enum kind { PAIR, REQ, REP, PUSH, PULL, PUB, SUB, SURVEYOR, RESPONDENT };
typedef void *sp_sock;
typedef zmq_msg_t sp_msg;
typedef struct {
    const uint8_t *data;
    size_t len;
    zmq_msg_t shared;
} sp_body;

static void *context;

static void check(bool ok, const char *what)
{
    if (!ok)
        die("%s: %s", what, zmq_strerror(errno));
}

static sp_sock sp_open(enum kind kind, bool stream)
{
    (void)stream;
    static const int types[] = {ZMQ_PAIR, ZMQ_REQ, ZMQ_REP, ZMQ_PUSH, ZMQ_PULL, ZMQ_PUB, ZMQ_SUB};
    if (kind >= SURVEYOR)
        die("libzmq has no surveys");
    if (!context)
        context = zmq_ctx_new();
    void *s = zmq_socket(context, types[kind]);
    check(s, "open");
    if (kind == SUB)
        check(!zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0), "subscribe");
    return s;
}

static void sp_listen(sp_sock s, const char *url) { check(!zmq_bind(s, url), "listen"); }
static void sp_dial(sp_sock s, const char *url) { check(!zmq_connect(s, url), "dial"); }
static void sp_close(sp_sock s) { zmq_close(s); }

static void sp_send_copy(sp_sock s, const void *data, size_t len)
{
    check(zmq_send(s, data, len, 0) == (int)len, "send");
}

static void keep(void *data, void *hint)
{
    (void)data;
    (void)hint;
}

// Long bodies are shared, short ones copied, whichever is cheaper.
static void sp_prepare(sp_body *body, const uint8_t *data, size_t len)
{
    *body = (sp_body){.data = data, .len = len};
    if (len >= 4096)
        check(!zmq_msg_init_data(&body->shared, (void *)data, len, keep, NULL), "message");
}

static void sp_send(sp_sock s, sp_body *body)
{
    if (body->len < 4096) {
        sp_send_copy(s, body->data, body->len);
        return;
    }
    zmq_msg_t m;
    zmq_msg_init(&m);
    check(!zmq_msg_copy(&m, &body->shared), "message");
    check(zmq_msg_send(&m, s, 0) >= 0, "send");
}

static bool sp_recv(sp_sock s, sp_msg *m)
{
    zmq_msg_init(m);
    check(zmq_msg_recv(m, s, 0) >= 0, "receive");
    return true;
}

static const uint8_t *sp_data(sp_msg *m) { return zmq_msg_data(m); }
static size_t sp_len(sp_msg *m) { return zmq_msg_size(m); }
static void sp_return(sp_sock s, sp_msg *m) { check(zmq_msg_send(m, s, 0) >= 0, "send"); }
static void sp_drop(sp_msg *m) { zmq_msg_close(m); }

#include "scenarios.h"
