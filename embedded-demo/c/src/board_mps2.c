/* QEMU's mps2-an386: UART 0 and timer 0 of Arm's CMSDK, both at 25 MHz. */
#include "board.h"
#include "semihosting.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define TIMER_CTRL REGISTER(0x40000000u)
#define TIMER_VALUE REGISTER(0x40000004u)
#define TIMER_RELOAD REGISTER(0x40000008u)
#define TIMER_ENABLE 1u

#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CTRL REGISTER(0x40004008u)
#define UART_BAUDDIV REGISTER(0x40004010u)
#define UART_TX_FULL 1u
#define UART_RX_FULL 2u
#define UART_TX_ENABLE 1u
#define UART_RX_ENABLE 2u

void board_init(void) {
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CTRL = TIMER_ENABLE;
    UART_BAUDDIV = BOARD_CLOCK_HZ / 115200u;
    UART_CTRL = UART_TX_ENABLE | UART_RX_ENABLE;
}

uint32_t board_clock(void) {
    return UINT32_MAX - TIMER_VALUE; /* it counts down */
}

/* The UART keeps one byte. On QEMU the next one waits in the socket; a real line needs flow control, DMA or an interrupt here. */
size_t board_read(uint8_t *to, size_t capacity) {
    size_t n = 0;
    while (n < capacity && (UART_STATE & UART_RX_FULL)) to[n++] = (uint8_t)UART_DATA;
    return n;
}

size_t board_write(const uint8_t *from, size_t len) {
    size_t n = 0;
    while (n < len && !(UART_STATE & UART_TX_FULL)) UART_DATA = from[n++];
    return n;
}

/* QEMU has no source of randomness, so whoever starts it draws a seed, fresh for every run, and hands it in as the argument
 * seed=<64 hexadecimal digits>. A board asks its hardware generator instead. Never a constant: a seed used twice gives inputs away. */
int board_random(void *user, uint8_t *out, size_t len) {
    static int spent;
    (void)user;
    if (spent) return -1;
    spent = 1;
    return host_argument_bytes("seed=", out, len);
}
