#include "semihosting.h"

enum { SYS_WRITE0 = 0x04, SYS_GET_CMDLINE = 0x15, SYS_EXIT_EXTENDED = 0x20 };
#define APPLICATION_EXIT 0x20026u

static uintptr_t call(uintptr_t operation, const volatile void *argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const volatile void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void host_print(const char *text) {
    call(SYS_WRITE0, text);
}

void host_print_number(uint64_t number) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    host_print(digits + at);
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* What follows `name` where a word of `line` starts with it; NULL if none does. */
static const char *find(const char *line, const char *name) {
    for (;;) {
        const char *at = line, *n = name;
        while (*n != '\0' && *at == *n) at++, n++;
        if (*n == '\0') return at;
        while (*line != '\0' && *line != ' ') line++;
        if (*line++ == '\0') return NULL;
    }
}

/* The value of the argument that begins with `name`; NULL if there is none. */
static const char *argument(const char *name) {
    static char line[256];
    struct {
        char *buffer;
        uint32_t size;
    } block = {line, sizeof line};
    return call(SYS_GET_CMDLINE, &block) == 0 ? find(line, name) : NULL;
}

int host_argument_number(const char *name, uint32_t *number) {
    const char *at = argument(name);
    uint32_t n = 0;
    if (at == NULL || *at < '0' || *at > '9') return -1;
    for (; *at >= '0' && *at <= '9'; at++) n = 10 * n + (uint32_t)(*at - '0');
    *number = n;
    return 0;
}

int host_argument_bytes(const char *name, uint8_t *out, size_t len) {
    const char *at = argument(name);
    int high, low;
    if (at == NULL) return -1;
    for (; len > 0; len--, out++, at += 2) {
        if ((high = digit(at[0])) < 0 || (low = digit(at[1])) < 0) return -1;
        *out = (uint8_t)(high << 4 | low);
    }
    return digit(*at) < 0 ? 0 : -1;
}

void host_exit(int code) {
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) call(SYS_EXIT_EXTENDED, block);
}
