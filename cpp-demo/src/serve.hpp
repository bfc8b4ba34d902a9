#pragma once

#include <minionn.hpp>

#include <boost/asio.hpp>

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

/// A model made ready for each stock that a client asked for.
class Models {
  public:
    /// Throws minionn::Error if the bytes are no model.
    Models(minionn::Bytes bytes, std::uint32_t max_stock);

    /// Made on first use and kept. Throws minionn::Error with MINIONN_ERROR_REFUSED for a stock
    /// that is too large.
    std::shared_ptr<const minionn::Model> get(std::uint32_t stock);

    const minionn::Plan &plan() const { return *plan_; }

  private:
    std::shared_ptr<const minionn::Bytes> bytes_;
    std::uint32_t max_stock_;
    std::mutex mutex_;
    std::map<std::uint32_t, std::shared_ptr<const minionn::Model>> models_;
    std::unique_ptr<const minionn::Plan> plan_;
};

/// The server's halves of pairings, in memory: the one that was not used for longest goes first.
class Pairings {
  public:
    explicit Pairings(std::size_t most) : most_(most) {}

    std::optional<minionn::Pairing> get(const minionn::PairingId &id);
    void keep(minionn::Pairing half);
    /// Forgets a half: its client was caught cheating.
    void forget(const minionn::PairingId &id);

  private:
    std::size_t most_;
    std::mutex mutex_;
    /// Last used first.
    std::list<minionn::Pairing> halves_;
};

/// What all connections share.
struct Service {
    Models models;
    Pairings pairings;
};

/// Accepts clients, many at a time, on all threads of an io_context.
class Listener {
  public:
    /// Throws boost::system::system_error if the address is not free. With `once`, takes one client
    /// only.
    Listener(boost::asio::io_context &context, const std::string &address,
             std::shared_ptr<Service> service, bool once);

    boost::asio::ip::tcp::endpoint address() const { return acceptor_.local_endpoint(); }

  private:
    void accept();

    boost::asio::ip::tcp::acceptor acceptor_;
    std::shared_ptr<Service> service_;
    bool once_;
};
