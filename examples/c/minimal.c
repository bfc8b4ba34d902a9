/* A private prediction in 30 lines: minimal HOST PORT < 64 numbers. client.c, beside it, takes
 * networks of any size, and frees what it uses. */
#include <err.h>
#include <minionn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static ptrdiff_t in(void *fd, uint8_t *to, size_t n) { return read(*(int *)fd, to, n); }
static ptrdiff_t out(void *fd, const uint8_t *from, size_t n) { return write(*(int *)fd, from, n); }
static int fill(void *user, uint8_t *to, size_t n) { return (void)user, getentropy(to, n); }
static void ok(minionn_status s) { if (s != MINIONN_OK) errx(1, "%s", minionn_strerror(s)); }

int main(int argc, char **argv) {
    static struct addrinfo *at;
    if (argc != 3 || getaddrinfo(argv[1], argv[2], NULL, &at) != 0) errx(1, "HOST PORT < numbers");
    int fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) err(1, "%s", argv[1]);
    const minionn_io io = {in, out, &fd};
    const minionn_random rng = {fill, NULL};

    float x[64];
    double y[10];
    for (int i = 0; i < 64; i++) if (scanf("%f", &x[i]) != 1) errx(1, "64 numbers are needed");
    static uint8_t reply[MINIONN_PLAN_REPLY_MAX];
    const uint8_t *plan;
    size_t len, bytes, n, class;
    minionn_options options;
    static minionn_session *session;
    ok(minionn_plan_fetch(&io, reply, sizeof reply, &plan, &len));
    ok(minionn_options_init(&options, sizeof options));
    ok(minionn_client_memory(plan, len, &options, &bytes));
    ok(minionn_client_init(malloc(bytes), bytes, plan, len, &options, &rng, &session));
    ok(minionn_session_run(session, &io)), ok(minionn_client_prepare(session));
    ok(minionn_session_run(session, &io)), ok(minionn_client_predict(session, x, 64));
    ok(minionn_session_run(session, &io)), ok(minionn_client_answer(session, y, 10, &n, &class));
    printf("class %zu\n", class);
    ok(minionn_client_close(session)), ok(minionn_session_run(session, &io));
    minionn_session_wipe(session);
}
