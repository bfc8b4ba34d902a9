/* Serves a model, one client after the other: server MODEL PORT [CONNECTIONS]
 *
 * Port 0 takes a free one; the first line printed is `listening on ADDRESS:PORT`. It ends after
 * that number of connections, if there is one. */
#include <minionn.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* More predictions prepared at once would cost more memory than this server wants to give. */
#define MOST_STOCK 64u

static ptrdiff_t receive(void *fd, uint8_t *out, size_t capacity) {
    return recv(*(int *)fd, out, capacity, 0);
}

static ptrdiff_t transmit(void *fd, const uint8_t *bytes, size_t len) {
    return send(*(int *)fd, bytes, len, MSG_NOSIGNAL);
}

static int entropy(void *unused, uint8_t *out, size_t len) {
    (void)unused;
    return getentropy(out, len);
}

static void need(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "server: %s\n", what);
    exit(1);
}

/* What has come of a connection, and how much. */
struct client {
    int fd;
    uint8_t received[MINIONN_GREETING_MAX];
    size_t len;
};

/* Sends all of a message; a client that has gone is noticed when it is read next. */
static void tell(const struct client *client, const uint8_t *bytes, size_t len) {
    int fd = client->fd;
    for (ptrdiff_t n; len > 0 && (n = transmit(&fd, bytes, len)) > 0; len -= (size_t)n) bytes += n;
}

/* Reads what a client asks for, and hands out the plan if that is it. */
static minionn_status greet(struct client *client, const uint8_t *plan, size_t plan_len,
                            const minionn_options *own, minionn_greeting *greeting) {
    static uint8_t reply[MINIONN_PLAN_REPLY_MAX];
    for (;;) {
        size_t n;
        minionn_status status = minionn_greeting_peek(client->received, client->len, own, greeting);
        if (status == MINIONN_NEED_MORE) {
            ptrdiff_t got = receive(&client->fd, client->received + client->len,
                                    sizeof client->received - client->len);
            if (got <= 0) return MINIONN_ERROR_EOF;
            client->len += (size_t)got;
        } else if (status != MINIONN_OK || greeting->kind != MINIONN_GREETING_PLAN_REQUEST) {
            return status;
        } else {
            status = minionn_plan_reply(plan, plan_len, reply, sizeof reply, &n);
            if (status != MINIONN_OK) return status;
            tell(client, reply, n);
            client->len -= greeting->frame_len;
            memmove(client->received, client->received + greeting->frame_len, client->len);
        }
    }
}

/* One session, from its greeting to its end. */
static minionn_status session(struct client *client, const minionn_model *model,
                              const minionn_options *options) {
    const minionn_random random = {entropy, NULL};
    const minionn_io io = {receive, transmit, &client->fd};
    minionn_session *session = NULL;
    size_t bytes, taken;
    uint8_t *memory = NULL;
    minionn_status status = minionn_server_memory(model, options, &bytes);
    if (status == MINIONN_OK) {
        memory = malloc(bytes);
        status = minionn_server_init(memory, bytes, model, options, &random, &session);
    }
    if (status == MINIONN_OK)
        status = minionn_session_feed(session, client->received, client->len, &taken);
    if (status == MINIONN_OK) status = minionn_session_run(session, &io);
    minionn_session_wipe(session);
    free(memory);
    return status;
}

/* Whatever one client wants. The model is made ready for its stock. */
static minionn_status serve(struct client *client, const uint8_t *file, size_t len,
                            const uint8_t *plan, size_t plan_len) {
    minionn_options own;
    minionn_greeting greeting;
    minionn_model *model = NULL;
    uint8_t refusal[MINIONN_REFUSAL_BYTES], *memory = NULL;
    size_t bytes, n;
    minionn_status status = minionn_options_init(&own, sizeof own);
    if (status == MINIONN_OK) status = greet(client, plan, plan_len, &own, &greeting);
    if (status == MINIONN_OK && greeting.options.stock > MOST_STOCK) status = MINIONN_ERROR_REFUSED;
    /* This server keeps no pairings. */
    if (status == MINIONN_OK && greeting.kind == MINIONN_GREETING_RESUME)
        status = MINIONN_ERROR_UNKNOWN_PAIRING;
    if (status == MINIONN_OK)
        status = minionn_model_memory(file, len, greeting.options.stock, &bytes);
    if (status == MINIONN_OK) {
        memory = malloc(bytes);
        status = minionn_model_init(memory, bytes, file, len, greeting.options.stock, &model);
    }
    if (status == MINIONN_OK) {
        status = session(client, model, &greeting.options);
    } else if (minionn_greeting_refuse(status, refusal, sizeof refusal, &n) == MINIONN_OK) {
        tell(client, refusal, n); /* a session tells its client itself */
    }
    minionn_model_wipe(model);
    free(memory);
    return status;
}

static uint8_t *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    need(file != NULL && fseek(file, 0, SEEK_END) == 0, path);
    long size = ftell(file);
    need(size > 0, path);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size);
    need(bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size, path);
    fclose(file);
    *len = (size_t)size;
    return bytes;
}

static int listen_on(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), reuse = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    need(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 8) == 0, "port is taken");
    need(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "no address");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    minionn_options options;
    minionn_model *model;
    const uint8_t *plan;
    size_t len, plan_len, bytes;
    need(argc == 3 || argc == 4, "arguments: MODEL PORT [CONNECTIONS]");
    uint8_t *file = read_file(argv[1], &len);

    /* The plan is the same for every stock; a model is more than that. */
    need(minionn_options_init(&options, sizeof options) == MINIONN_OK, "options");
    minionn_status status = minionn_model_memory(file, len, options.stock, &bytes);
    need(status == MINIONN_OK, minionn_strerror(status));
    uint8_t *memory = malloc(bytes);
    status = minionn_model_init(memory, bytes, file, len, options.stock, &model);
    need(status == MINIONN_OK, minionn_strerror(status));
    need(minionn_model_plan(model, &plan, &plan_len) == MINIONN_OK, "plan");

    int listener = listen_on(argv[2]);
    for (long left = argc == 4 ? atol(argv[3]) : -1; left != 0; left--) {
        struct client client = {.fd = accept(listener, NULL, NULL), .len = 0};
        need(client.fd >= 0, "no connection");
        status = serve(&client, file, len, plan, plan_len);
        fprintf(stderr, "a session has ended: %s\n", minionn_strerror(status));
        close(client.fd);
    }
    minionn_model_wipe(model);
    free(memory), free(file), close(listener);
    return 0;
}
