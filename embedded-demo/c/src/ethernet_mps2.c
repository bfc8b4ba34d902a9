/* TCP over the board's LAN9118, by the library of ../ethernet: the server is at the port of the
 * host that the argument port= tells. */
#include "board.h"
#include "ethernet.h"
#include "link.h"
#include "semihosting.h"

static ethernet_connection *connection;

int link_open(void) {
    uint32_t port;
    if (host_argument_number("port=", &port) != 0 || port > UINT16_MAX) return -1;
    connection = ethernet_open((uint16_t)port, board_clock());
    return connection != NULL ? 0 : -1;
}

size_t link_read(uint8_t *to, size_t capacity) {
    return ethernet_read(connection, to, capacity);
}

size_t link_write(const uint8_t *from, size_t len) {
    return ethernet_write(connection, from, len);
}

void link_close(void) {
    ethernet_close(connection);
}
