/* UART 0 of Arm's CMSDK. It keeps one byte: on QEMU the next one waits in the socket; a real line
 * needs flow control, DMA or an interrupt that fills a buffer. */
#include "board.h"
#include "link.h"
#include "register.h"

#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CTRL REGISTER(0x40004008u)
#define UART_BAUDDIV REGISTER(0x40004010u)
#define UART_TX_FULL 1u
#define UART_RX_FULL 2u
#define UART_TX_ENABLE 1u
#define UART_RX_ENABLE 2u

/* A tenth of a second. */
#define QUIET (BOARD_CLOCK_HZ / 10u)

/* A line knows no connections: what a server still sends of a session that was cut off is thrown
 * away, until it has stopped. */
int link_open(void) {
    uint32_t since;
    UART_BAUDDIV = BOARD_CLOCK_HZ / 115200u;
    UART_CTRL = UART_TX_ENABLE | UART_RX_ENABLE;
    for (since = board_clock(); board_clock() - since < QUIET;) {
        uint8_t piece[16];
        if (link_read(piece, sizeof piece) > 0) since = board_clock();
    }
    return 0;
}

size_t link_read(uint8_t *to, size_t capacity) {
    size_t n = 0;
    while (n < capacity && (UART_STATE & UART_RX_FULL)) to[n++] = (uint8_t)UART_DATA;
    return n;
}

size_t link_write(const uint8_t *from, size_t len) {
    size_t n = 0;
    while (n < len && !(UART_STATE & UART_TX_FULL)) UART_DATA = from[n++];
    return n;
}

void link_close(void) {}
