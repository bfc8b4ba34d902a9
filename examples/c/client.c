/* A private prediction over a socket: client HOST PORT < numbers
 *
 * Prints the class and the outputs. The server sees neither these nor the numbers. */
#include <minionn.h>

#include <err.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd;
static minionn_session *session;

/* How the library reads, writes, and gets randomness. */
static ptrdiff_t in(void *user, uint8_t *to, size_t n) { return recv(*(int *)user, to, n, 0); }
static ptrdiff_t out(void *user, const uint8_t *from, size_t n) {
    return send(*(int *)user, from, n, MSG_NOSIGNAL);
}
static int fill(void *user, uint8_t *to, size_t n) { return (void)user, getentropy(to, n); }
static const minionn_io io = {in, out, &fd};
static const minionn_random source = {fill, NULL};

static void ok(minionn_status status) {
    if (status != MINIONN_OK) errx(1, "%s", minionn_strerror(status));
}

/* Waits for the end of what a command has begun. */
static void finish(minionn_status command) { ok(command), ok(minionn_session_run(session, &io)); }

int main(int argc, char **argv) {
    struct addrinfo *at;
    if (argc != 3 || getaddrinfo(argv[1], argv[2], NULL, &at) != 0) errx(1, "HOST PORT < numbers");
    fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) err(1, "%s", argv[1]);
    freeaddrinfo(at);

    static uint8_t reply[MINIONN_PLAN_REPLY_MAX];
    const uint8_t *plan;
    size_t plan_len, bytes, written, best;
    minionn_info info;
    minionn_options options;
    ok(minionn_plan_fetch(&io, reply, sizeof reply, &plan, &plan_len));
    ok(minionn_plan_info(plan, plan_len, &info));
    ok(minionn_options_init(&options, sizeof options));
    ok(minionn_client_memory(plan, plan_len, &options, &bytes));
    uint8_t *memory = malloc(bytes);
    ok(minionn_client_init(memory, bytes, plan, plan_len, &options, &source, &session));
    finish(MINIONN_OK);                      /* the set-up */
    finish(minionn_client_prepare(session)); /* the offline phase, which needs no input */

    float x[info.input_length];
    for (size_t i = 0; i < info.input_length; i++)
        if (scanf("%f", &x[i]) != 1) errx(1, "%u numbers are needed", info.input_length);
    finish(minionn_client_predict(session, x, info.input_length));
    double logits[info.answer_length + 1];
    ok(minionn_client_answer(session, logits, info.answer_length, &written, &best));
    printf("class %zu\n", best);
    for (size_t i = 0; i < written; i++) printf("%zu: %.4f\n", i, logits[i]);

    finish(minionn_client_close(session));
    minionn_session_wipe(session);
    free(memory), close(fd);
    return 0;
}
