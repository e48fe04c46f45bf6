// nng.

#include "common.h"
#include <nng/nng.h>
#include <nng/protocol/pair1/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/protocol/survey0/respond.h>
#include <nng/protocol/survey0/survey.h>
#include <nng/supplemental/tls/tls.h>

enum kind { PAIR, REQ, REP, PUSH, PULL, PUB, SUB, SURVEYOR, RESPONDENT };
typedef nng_socket sp_sock;
typedef nng_msg *sp_msg;
typedef struct {
    const uint8_t *data;
    size_t len;
} sp_body;

static void check(int error, const char *what)
{
    if (error)
        die("%s: %s", what, nng_strerror(error));
}

static sp_sock sp_open(enum kind kind, bool stream)
{
    static int (*const opens[])(nng_socket *) = {
        nng_pair1_open, nng_req0_open, nng_rep0_open,     nng_push0_open,    nng_pull0_open,
        nng_pub0_open,  nng_sub0_open, nng_surveyor0_open, nng_respondent0_open};
    nng_socket s;
    check(opens[kind](&s), "open");
    check(nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, 0), "receive limit");
    // Streams get the deeper queues that favour nng; push and pull do not have them all.
    if (stream) {
        nng_socket_set_int(s, NNG_OPT_SENDBUF, 128);
        nng_socket_set_int(s, NNG_OPT_RECVBUF, 128);
    }
    if (kind == SUB)
        check(nng_socket_set(s, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
    return s;
}

static void sp_listen(sp_sock s, const char *url)
{
    nng_listener l;
    check(nng_listener_create(&l, s, url), "listener");
    if (args.certificate)
        check(nng_listener_set_string(l, NNG_OPT_TLS_CERT_KEY_FILE, args.certificate), "certificate");
    check(nng_listener_start(l, 0), "listen");
}

// Made once, as a program that connects often would.
static nng_tls_config *trust(void)
{
    static nng_tls_config *config;
    if (!config) {
        check(nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT), "TLS");
        check(nng_tls_config_ca_file(config, args.ca), "CA");
        check(nng_tls_config_server_name(config, TLS_NAME), "server name");
    }
    return config;
}

static void sp_dial(sp_sock s, const char *url)
{
    nng_dialer d;
    check(nng_dialer_create(&d, s, url), "dialer");
    if (args.ca)
        check(nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, trust()), "TLS");
    check(nng_dialer_start(d, 0), "dial");
}

static void sp_close(sp_sock s) { nng_close(s); }

static void sp_send_copy(sp_sock s, const void *data, size_t len)
{
    nng_msg *m;
    check(nng_msg_alloc(&m, len), "message");
    memcpy(nng_msg_body(m), data, len);
    check(nng_sendmsg(s, m, 0), "send");
}

// nng cannot share a body between messages.
static void sp_prepare(sp_body *body, const uint8_t *data, size_t len) { *body = (sp_body){data, len}; }
static void sp_send(sp_sock s, sp_body *body) { sp_send_copy(s, body->data, body->len); }

static bool sp_recv(sp_sock s, sp_msg *m)
{
    int error = nng_recvmsg(s, m, 0);
    if (error && error != NNG_ETIMEDOUT && error != NNG_ESTATE)
        check(error, "receive");
    return !error;
}

static const uint8_t *sp_data(sp_msg *m) { return nng_msg_body(*m); }
static size_t sp_len(sp_msg *m) { return nng_msg_len(*m); }
static void sp_return(sp_sock s, sp_msg *m) { check(nng_sendmsg(s, *m, 0), "send"); }
static void sp_drop(sp_msg *m) { nng_msg_free(*m); }

#include "scenarios.h"
