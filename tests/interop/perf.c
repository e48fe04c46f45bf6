/* The other end of `wirebird perf`, as nng's own tools are: pair version 1 on libnng.
 *
 *     perf local_lat|remote_lat|local_thr|remote_thr URL SIZE COUNT
 */
#include <nng/nng.h>
#include <nng/protocol/pair1/pair.h>
#include <nng/supplemental/util/platform.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nng_socket sock;

static void check(int error, const char *what)
{
	if (error != 0) {
		fprintf(stderr, "%s: %s\n", what, nng_strerror(error));
		exit(1);
	}
}

static void send_bytes(size_t size)
{
	nng_msg *msg;
	check(nng_msg_alloc(&msg, size), "alloc");
	check(nng_sendmsg(sock, msg, 0), "send");
}

static nng_msg *receive(size_t size)
{
	nng_msg *msg;
	check(nng_recvmsg(sock, &msg, 0), "receive");
	if (nng_msg_len(msg) != size) {
		fprintf(stderr, "got %zu bytes instead of %zu\n", nng_msg_len(msg), size);
		exit(1);
	}
	return msg;
}

static void listen_at(const char *url)
{
	check(nng_listen(sock, url, NULL, 0), "listen");
	puts("listening");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		return 2;
	}
	const char *tool = argv[1], *url = argv[2];
	size_t size = strtoul(argv[3], NULL, 10);
	long count = strtol(argv[4], NULL, 10);

	check(nng_pair1_open(&sock), "open");
	check(nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, 10000), "set");
	check(nng_socket_set_ms(sock, NNG_OPT_SENDTIMEO, 10000), "set");
	if (strcmp(tool, "local_lat") == 0) {
		listen_at(url);
		for (long i = 0; i < count; i++) {
			check(nng_sendmsg(sock, receive(size), 0), "send");
		}
	} else if (strcmp(tool, "remote_lat") == 0) {
		check(nng_dial(sock, url, NULL, 0), "dial");
		for (long i = 0; i < count; i++) {
			send_bytes(size);
			nng_msg_free(receive(size));
		}
	} else if (strcmp(tool, "local_thr") == 0) {
		listen_at(url);
		nng_msg_free(receive(0));
		for (long i = 0; i < count; i++) {
			nng_msg_free(receive(size));
		}
		send_bytes(0);
	} else if (strcmp(tool, "remote_thr") == 0) {
		check(nng_dial(sock, url, NULL, 0), "dial");
		send_bytes(0);
		for (long i = 0; i < count; i++) {
			send_bytes(size);
		}
		nng_msg_free(receive(0));
	} else {
		return 2;
	}
	/* nng has no linger: what it took last would be lost. */
	nng_msleep(100);
	nng_close(sock);
	puts("done");
	return 0;
}
