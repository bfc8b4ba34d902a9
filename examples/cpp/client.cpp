// Private predictions over a socket: client HOST PORT < numbers
//
// Prints the class of every row. The server sees neither these nor the numbers.
#include <minionn.hpp>

#include <iostream>
#include <netdb.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

/// What Client::run() wants of a stream: read() and write() that wait.
class Socket {
  public:
    Socket(const char *host, const char *port) {
        addrinfo hints{}, *found = nullptr;
        hints.ai_socktype = SOCK_STREAM;
        if (getaddrinfo(host, port, &hints, &found) != 0) throw std::runtime_error("no such host");
        const std::unique_ptr<addrinfo, void (*)(addrinfo *)> owner(found, freeaddrinfo);
        fd_ = count(::socket(found->ai_family, found->ai_socktype, found->ai_protocol));
        count(::connect(fd_, found->ai_addr, found->ai_addrlen));
    }
    Socket(const Socket &) = delete;
    ~Socket() { ::close(fd_); }

    std::size_t read(std::uint8_t *out, std::size_t capacity) {
        return count(::recv(fd_, out, capacity, 0));
    }
    std::size_t write(const std::uint8_t *bytes, std::size_t len) {
        return count(::send(fd_, bytes, len, MSG_NOSIGNAL));
    }

  private:
    template <class Number>
    static Number count(Number n) {
        if (n < 0) throw std::system_error(errno, std::generic_category());
        return n;
    }
    int fd_ = -1;
};

extern "C" int entropy(void *, std::uint8_t *out, std::size_t len) { return getentropy(out, len); }

int main(int argc, char **argv) try {
    if (argc != 3) throw std::runtime_error("arguments: HOST PORT; numbers from standard input");
    Socket socket(argv[1], argv[2]);
    const auto plan = minionn::Plan::fetch(socket);

    minionn::Options options;
    options.set_link(MINIONN_LINK_LAN);
    options.stock = 2;
    minionn::Client client(plan, options, {entropy, nullptr});
    client.run(socket); // the set-up

    std::vector<float> row;
    for (float x; std::cin >> x;) {
        row.push_back(x);
        if (row.size() < plan.info().input_length) continue;
        if (client.remaining() == 0) {
            client.prepare();
            client.run(socket);
        }
        client.predict(row);
        client.run(socket);
        std::cout << "class " << client.answer().argmax << '\n';
        row.clear();
    }
    client.close();
    client.run(socket);
    return 0;
} catch (const std::exception &error) {
    std::cerr << "client: " << error.what() << '\n';
    return 1;
}
