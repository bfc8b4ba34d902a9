// MiniONN for C++17: a thin layer over minionn.h that owns memory and throws.
//
// A session moves no bytes: feed() what came from the peer, poll(), drain() what goes to the peer.
#ifndef MINIONN_HPP
#define MINIONN_HPP

#include "minionn.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace minionn {

/// Whatever a call of the library returned but MINIONN_OK.
class Error : public std::runtime_error {
  public:
    explicit Error(minionn_status status) : std::runtime_error(minionn_strerror(status)), status_(status) {}
    Error(minionn_status status, const std::string &what) : std::runtime_error(what + ": " + minionn_strerror(status)), status_(status) {}
    /// The library's number.
    minionn_status status() const noexcept { return status_; }

  private:
    minionn_status status_;
};

/// Throws unless all is well.
inline void check(minionn_status status) {
    if (status != MINIONN_OK) throw Error(status);
}

using Bytes = std::vector<std::uint8_t>;
using State = minionn_state;
using Info = minionn_info;
using Cost = minionn_cost;
using Traffic = minionn_traffic;

/// Names a pairing. Not secret.
using PairingId = std::array<std::uint8_t, MINIONN_PAIRING_ID_BYTES>;

/// What set-up makes, exported by a session: later ones start without. It is SECRET: seal it (encrypt and authenticate) wherever it is kept.
class Pairing {
  public:
    /// Checks the bytes of an exported pairing.
    explicit Pairing(Bytes bytes) : bytes_(std::move(bytes)) { check(minionn_pairing_info(data(), size(), &info_)); }

    /// The same for both halves: a server finds its half by it.
    PairingId id() const noexcept {
        PairingId id{};
        std::copy(std::begin(info_.id), std::end(info_.id), id.begin());
        return id;
    }
    /// Whether it is a server's half; else a client's.
    bool server() const noexcept { return info_.server; }
    /// The repetition that sessions of it must ask for.
    std::uint8_t repetition() const noexcept { return info_.repetition; }

    const std::uint8_t *data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }

  private:
    Bytes bytes_;
    minionn_pairing info_{};
};

/// A cryptographic random source, used once by every session.
struct Random {
    minionn_random fill;
    void *user = nullptr;
};

/// Options with their defaults; set the fields that matter.
struct Options : minionn_options {
    Options() : minionn_options{} { check(minionn_options_init(this, sizeof(minionn_options))); }
};

namespace detail {

struct alignas(MINIONN_ALIGN) Block {
    unsigned char bytes[MINIONN_ALIGN];
};

/// An object of the library together with its memory. The object is always wiped before its memory goes.
template <class T, void (*wipe)(T *)>
class Object {
  public:
    Object() = default;
    explicit Object(std::size_t size) : memory_((size + sizeof(Block) - 1) / sizeof(Block)), size_(size) {}
    Object(Object &&other) noexcept { swap(other); }
    Object &operator=(Object &&other) noexcept {
        Object moved(std::move(other));
        swap(moved);
        return *this;
    }
    Object(const Object &) = delete;
    Object &operator=(const Object &) = delete;
    ~Object() { wipe(handle_); }

    std::uint8_t *memory() { return reinterpret_cast<std::uint8_t *>(memory_.data()); }
    std::size_t size() const noexcept { return size_; }
    T **slot() { return &handle_; }
    T *get() const noexcept { return handle_; }

  private:
    void swap(Object &other) noexcept {
        memory_.swap(other.memory_);
        std::swap(size_, other.size_);
        std::swap(handle_, other.handle_);
    }
    std::vector<Block> memory_;
    std::size_t size_ = 0;
    T *handle_ = nullptr;
};

} // namespace detail

/// What both parties know about a network.
class Plan {
  public:
    /// Checks the bytes of a plan.
    explicit Plan(Bytes bytes) : bytes_(std::make_shared<const Bytes>(std::move(bytes))) {
        check(minionn_plan_info(data(), size(), &info_));
    }

    /// What a client sends to get the server's plan.
    static std::array<std::uint8_t, MINIONN_PLAN_REQUEST_BYTES> request() {
        std::array<std::uint8_t, MINIONN_PLAN_REQUEST_BYTES> out{};
        std::size_t written = 0;
        check(minionn_plan_request(out.data(), out.size(), &written));
        return out;
    }

    /// Takes the plan out of `received`, once all of it is there.
    static std::optional<Plan> take(Bytes &received) {
        const std::uint8_t *plan = nullptr;
        std::size_t len = 0, frame = 0;
        const auto status = minionn_plan_peek(received.data(), received.size(), &plan, &len, &frame);
        if (status == MINIONN_NEED_MORE) return std::nullopt;
        check(status);
        Plan found(Bytes(plan, plan + len));
        received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(frame));
        return found;
    }

    /// What a server answers to a plan request.
    Bytes reply() const {
        Bytes out(MINIONN_PLAN_REPLY_MAX);
        std::size_t written = 0;
        check(minionn_plan_reply(data(), size(), out.data(), out.size(), &written));
        out.resize(written);
        return out;
    }

    const Info &info() const noexcept { return info_; }

    Cost cost(const Options &options) const {
        Cost cost{};
        check(minionn_plan_cost(data(), size(), &options, &cost));
        return cost;
    }

    const std::uint8_t *data() const noexcept { return bytes_->data(); }
    std::size_t size() const noexcept { return bytes_->size(); }

  private:
    /// Shared: sessions point into it.
    std::shared_ptr<const Bytes> bytes_;
    Info info_{};
};

/// A server's weights, made ready for one stock. Any number of sessions on any threads share it.
class Model {
  public:
    Model(std::shared_ptr<const Bytes> bytes, std::uint32_t stock) : bytes_(std::move(bytes)), stock_(stock) {
        std::size_t size = 0, align = 0;
        check(minionn_model_memory(bytes_->data(), bytes_->size(), stock, &size, &align));
        object_ = Object(size);
        check(minionn_model_init(object_.memory(), size, bytes_->data(), bytes_->size(), stock, object_.slot()));
    }

    Plan plan() const {
        const std::uint8_t *plan = nullptr;
        std::size_t len = 0;
        check(minionn_model_plan(get(), &plan, &len));
        return Plan(Bytes(plan, plan + len));
    }

    std::uint32_t stock() const noexcept { return stock_; }
    const minionn_model *get() const noexcept { return object_.get(); }

  private:
    using Object = detail::Object<minionn_model, minionn_model_wipe>;
    std::shared_ptr<const Bytes> bytes_;
    std::uint32_t stock_;
    Object object_;
};

/// What a client learns.
struct Answer {
    /// Integers of the opened tensor; empty for an argmax plan.
    std::vector<std::int64_t> integers;
    /// The same in real units.
    std::vector<double> logits;
    /// Index of the largest output.
    std::size_t argmax = 0;
};

/// A client's session. `plan` is kept alive by it.
class Client {
  public:
    Client(Plan plan, const Options &options, Random random) : plan_(std::move(plan)), object_(memory(plan_, options)) {
        check(minionn_client_init(object_.memory(), object_.size(), plan_.data(), plan_.size(), &options, random.fill, random.user,
                                  object_.slot()));
    }
    /// Goes on with a pairing, without set-up. If the server has forgotten it, poll() throws: then begin anew, without it.
    Client(Plan plan, const Options &options, Random random, const Pairing &pairing)
        : plan_(std::move(plan)), object_(memory(plan_, options)) {
        check(minionn_client_init_resume(object_.memory(), object_.size(), plan_.data(), plan_.size(), &options, pairing.data(),
                                         pairing.size(), random.fill, random.user, object_.slot()));
    }
    Client(Client &&) noexcept = default;
    // The object goes before the plan that it points into.
    Client &operator=(Client &&other) noexcept {
        object_ = std::move(other.object_);
        plan_ = std::move(other.plan_);
        return *this;
    }

    /// Returns how many bytes were taken.
    std::size_t feed(const std::uint8_t *bytes, std::size_t len) {
        std::size_t taken = 0;
        check(minionn_client_feed(get(), bytes, len, &taken));
        return taken;
    }
    /// Returns how many bytes were written.
    std::size_t drain(std::uint8_t *out, std::size_t capacity) {
        std::size_t written = 0;
        check(minionn_client_drain(get(), out, capacity, &written));
        return written;
    }
    std::size_t pending() const noexcept { return minionn_client_pending(get()); }
    std::size_t want() const noexcept { return minionn_client_want(get()); }
    void end_of_input() { check(minionn_client_end_of_input(get())); }

    /// Works as far as it can. What it throws says why the session is over.
    State poll() {
        State state = MINIONN_BUSY;
        const auto status = minionn_client_poll(get(), &state);
        if (status == MINIONN_ERROR_PEER_ABORTED) throw Error(status, minionn_strerror(minionn_client_peer_status(get())));
        check(status);
        return state;
    }

    /// This party's half of the pairing. Asks the server to keep the other: poll until idle.
    Bytes export_pairing() {
        Bytes out(MINIONN_CLIENT_PAIRING_BYTES);
        std::size_t written = 0;
        check(minionn_client_export(get(), out.data(), out.size(), &written));
        out.resize(written);
        return out;
    }

    void prepare() { check(minionn_client_prepare(get())); }
    void predict(const float *x, std::size_t n) { check(minionn_client_predict(get(), x, n)); }
    void predict(const std::vector<float> &x) { predict(x.data(), x.size()); }
    void predict_quantised(const std::vector<std::int64_t> &x) { check(minionn_client_predict_quantised(get(), x.data(), x.size())); }

    Answer answer() {
        Answer answer;
        std::size_t written = 0;
        answer.integers.resize(plan_.info().answer_length);
        answer.logits.resize(plan_.info().answer_length);
        check(minionn_client_answer(get(), answer.integers.data(), answer.integers.size(), &written, &answer.argmax));
        check(minionn_client_answer_real(get(), answer.logits.data(), answer.logits.size(), &written, &answer.argmax));
        return answer;
    }

    /// Shares the work with threads that `executor` lends until the session ends; null: no longer.
    void share(const minionn_executor* executor) { check(minionn_client_share(get(), executor)); }
    std::uint32_t left() const noexcept { return minionn_client_left(get()); }
    void close() { check(minionn_client_close(get())); }

    Traffic traffic() const {
        Traffic traffic{};
        check(minionn_client_traffic(get(), &traffic));
        return traffic;
    }

    const Plan &plan() const noexcept { return plan_; }
    minionn_client *get() const noexcept { return object_.get(); }

  private:
    using Object = detail::Object<minionn_client, minionn_client_wipe>;
    static std::size_t memory(const Plan &plan, const Options &options) {
        std::size_t size = 0, align = 0;
        check(minionn_client_memory(plan.data(), plan.size(), &options, &size, &align));
        return size;
    }
    Plan plan_;
    Object object_;
};

/// What a new connection asks for.
struct Greeting {
    minionn_greeting kind;
    /// For a session: the client's, with the buffers that were handed in.
    Options options;
    /// Bytes of the message.
    std::size_t size;
    /// The pairing that the session goes on with, if there is one: make a Server with it, or refuse with MINIONN_ERROR_UNKNOWN_PAIRING.
    std::optional<PairingId> pairing;

    /// Nothing until enough bytes are there; throws if this is no client.
    static std::optional<Greeting> peek(const Bytes &received, Options options) {
        minionn_greeting kind = MINIONN_GREETING_PLAN_REQUEST;
        std::size_t size = 0;
        const auto status = minionn_greeting_peek(received.data(), received.size(), &options, &kind, &size);
        if (status == MINIONN_NEED_MORE) return std::nullopt;
        check(status);
        if (kind != MINIONN_GREETING_RESUME) return Greeting{kind, options, size, std::nullopt};
        PairingId pairing{};
        check(minionn_greeting_pairing(received.data(), received.size(), pairing.data()));
        return Greeting{kind, options, size, pairing};
    }
};

/// What tells a peer that the connection ends because of `reason`.
inline Bytes abort_message(minionn_status reason) {
    Bytes out(MINIONN_ABORT_BYTES);
    std::size_t written = 0;
    check(minionn_abort(reason, out.data(), out.size(), &written));
    return out;
}

/// One session of a server. `model` is kept alive by it.
class Server {
  public:
    Server(std::shared_ptr<const Model> model, const Options &options, Random random)
        : model_(std::move(model)), object_(memory(*model_, options)) {
        check(minionn_server_init(object_.memory(), object_.size(), model_->get(), &options, random.fill, random.user, object_.slot()));
    }
    /// Goes on with the pairing that the greeting names, without set-up.
    Server(std::shared_ptr<const Model> model, const Options &options, Random random, const Pairing &pairing)
        : model_(std::move(model)), object_(memory(*model_, options)) {
        check(minionn_server_init_resume(object_.memory(), object_.size(), model_->get(), &options, pairing.data(), pairing.size(),
                                         random.fill, random.user, object_.slot()));
    }
    Server(Server &&) noexcept = default;
    // The object goes before the model that it points into.
    Server &operator=(Server &&other) noexcept {
        object_ = std::move(other.object_);
        model_ = std::move(other.model_);
        return *this;
    }

    /// Returns how many bytes were taken.
    std::size_t feed(const std::uint8_t *bytes, std::size_t len) {
        std::size_t taken = 0;
        check(minionn_server_feed(get(), bytes, len, &taken));
        return taken;
    }
    /// Returns how many bytes were written.
    std::size_t drain(std::uint8_t *out, std::size_t capacity) {
        std::size_t written = 0;
        check(minionn_server_drain(get(), out, capacity, &written));
        return written;
    }
    std::size_t pending() const noexcept { return minionn_server_pending(get()); }
    std::size_t want() const noexcept { return minionn_server_want(get()); }
    void end_of_input() { check(minionn_server_end_of_input(get())); }

    /// Works as far as it can. What it throws says why the session is over.
    State poll() {
        State state = MINIONN_BUSY;
        const auto status = minionn_server_poll(get(), &state);
        if (status == MINIONN_ERROR_PEER_ABORTED) throw Error(status, minionn_strerror(minionn_server_peer_status(get())));
        check(status);
        return state;
    }

    /// Whether the client has asked this server to keep its half of the pairing. It need not.
    bool keep_asked() const noexcept { return minionn_server_keep_asked(get()); }
    /// This party's half of the pairing, once set-up has finished.
    Bytes export_pairing() const {
        Bytes out(MINIONN_SERVER_PAIRING_BYTES);
        std::size_t written = 0;
        check(minionn_server_export(get(), out.data(), out.size(), &written));
        out.resize(written);
        return out;
    }

    /// Shares the work with threads that `executor` lends until the session ends; null: no longer.
    void share(const minionn_executor* executor) { check(minionn_server_share(get(), executor)); }
    std::uint64_t predictions() const noexcept { return minionn_server_predictions(get()); }

    Traffic traffic() const {
        Traffic traffic{};
        check(minionn_server_traffic(get(), &traffic));
        return traffic;
    }

    minionn_server *get() const noexcept { return object_.get(); }

  private:
    using Object = detail::Object<minionn_server, minionn_server_wipe>;
    static std::size_t memory(const Model &model, const Options &options) {
        std::size_t size = 0, align = 0;
        check(minionn_server_memory(model.get(), &options, &size, &align));
        return size;
    }
    std::shared_ptr<const Model> model_;
    Object object_;
};

} // namespace minionn

#endif // MINIONN_HPP
