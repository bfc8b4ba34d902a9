// MiniONN for C++17: a thin layer over minionn.h that owns memory and throws.
//
// A session moves no bytes by itself: run() does, over a stream that waits, or the program feeds,
// polls and drains.
#ifndef MINIONN_HPP
#define MINIONN_HPP

#include "minionn.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
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
    explicit Error(minionn_status status)
        : std::runtime_error(minionn_strerror(status)), status_(status) {}
    Error(minionn_status status, const std::string &what)
        : std::runtime_error(what + ": " + minionn_strerror(status)), status_(status) {}
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
using Progress = minionn_progress;
using Traffic = minionn_traffic;

/// A cryptographic random source, used once by every session.
using Random = minionn_random;

/// Names a pairing. Not secret.
using PairingId = std::array<std::uint8_t, MINIONN_PAIRING_ID_BYTES>;

/// What set-up makes, exported by a session: later ones start without. It is SECRET: seal it
/// (encrypt and authenticate) wherever it is kept.
class Pairing {
  public:
    /// Checks the bytes of an exported pairing.
    explicit Pairing(Bytes bytes) : bytes_(std::move(bytes)) {
        check(minionn_pairing_info(data(), size(), &info_));
    }

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

/// Options with their defaults; set the fields that matter.
struct Options : minionn_options {
    Options() : minionn_options{} { check(minionn_options_init(this, sizeof(minionn_options))); }
    explicit Options(const minionn_options &options) : minionn_options(options) {}
    /// Activations layer by layer, whichever way is faster on a usual link.
    void set_link(minionn_link link) { check(minionn_options_set_link(this, link)); }
};

namespace detail {

struct alignas(MINIONN_ALIGN) Block {
    unsigned char bytes[MINIONN_ALIGN];
};

/// An object of the library together with its memory, and what it points into. The object is
/// always wiped before any of these goes.
template <class T, void (*wipe)(T *)>
class Object {
  public:
    Object(std::size_t size, std::shared_ptr<const void> lender)
        : lender_(std::move(lender)), memory_((size + sizeof(Block) - 1) / sizeof(Block)),
          size_(size) {}
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
        lender_.swap(other.lender_);
        memory_.swap(other.memory_);
        std::swap(size_, other.size_);
        std::swap(handle_, other.handle_);
    }
    std::shared_ptr<const void> lender_;
    std::vector<Block> memory_;
    std::size_t size_ = 0;
    T *handle_ = nullptr;
};

/// A stream of C++ as a minionn_io: it has `std::size_t read(std::uint8_t *, std::size_t)`, which
/// waits and returns 0 at the end, and `std::size_t write(const std::uint8_t *, std::size_t)`. Both
/// may throw: what they threw is kept, as no exception may pass through the library.
template <class Stream>
class Io {
  public:
    explicit Io(Stream &stream) : stream_(stream) {}

    minionn_io io() noexcept { return {read, write, this}; }

    /// Throws what the stream threw, or the status unless all is well.
    void check(minionn_status status) const {
        if (thrown_) std::rethrow_exception(thrown_);
        minionn::check(status);
    }

  private:
    template <class Call>
    std::ptrdiff_t keep(Call &&call) noexcept {
        try {
            return static_cast<std::ptrdiff_t>(call());
        } catch (...) {
            thrown_ = std::current_exception();
            return -1;
        }
    }
    static std::ptrdiff_t read(void *user, std::uint8_t *out, std::size_t capacity) noexcept {
        auto &self = *static_cast<Io *>(user);
        return self.keep([&] { return self.stream_.read(out, capacity); });
    }
    static std::ptrdiff_t write(void *user, const std::uint8_t *bytes, std::size_t len) noexcept {
        auto &self = *static_cast<Io *>(user);
        return self.keep([&] { return self.stream_.write(bytes, len); });
    }

    Stream &stream_;
    std::exception_ptr thrown_;
};

} // namespace detail

/// What both parties know about a network.
class Plan {
  public:
    /// Checks the bytes of a plan.
    explicit Plan(Bytes bytes) : bytes_(std::make_shared<const Bytes>(std::move(bytes))) {
        check(minionn_plan_info(data(), size(), &info_));
    }

    /// Asks the server at the other end of a stream, see Session::run(), and waits.
    template <class Stream>
    static Plan fetch(Stream &stream) {
        detail::Io<Stream> io(stream);
        const auto functions = io.io();
        Bytes received(MINIONN_PLAN_REPLY_MAX);
        const std::uint8_t *plan = nullptr;
        std::size_t len = 0;
        io.check(minionn_plan_fetch(&functions, received.data(), received.size(), &plan, &len));
        return Plan(Bytes(plan, plan + len));
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
        const auto status =
            minionn_plan_peek(received.data(), received.size(), &plan, &len, &frame);
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
    /// Sessions point into the bytes.
    const std::shared_ptr<const Bytes> &bytes() const noexcept { return bytes_; }

  private:
    std::shared_ptr<const Bytes> bytes_;
    Info info_{};
};

/// A server's weights, made ready for one stock. Any number of sessions on any threads share it.
class Model {
  public:
    Model(std::shared_ptr<const Bytes> file, std::uint32_t stock)
        : stock_(stock), object_(memory(*file, stock), file) {
        check(minionn_model_init(object_.memory(), object_.size(), file->data(), file->size(),
                                 stock, object_.slot()));
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
    static std::size_t memory(const Bytes &file, std::uint32_t stock) {
        std::size_t bytes = 0;
        check(minionn_model_memory(file.data(), file.size(), stock, &bytes));
        return bytes;
    }
    std::uint32_t stock_;
    detail::Object<minionn_model, minionn_model_wipe> object_;
};

/// What both parties' sessions offer.
class Session {
  public:
    /// Returns how many bytes were taken.
    std::size_t feed(const std::uint8_t *bytes, std::size_t len) {
        std::size_t taken = 0;
        check(minionn_session_feed(get(), bytes, len, &taken));
        return taken;
    }
    /// Returns how many bytes were written.
    std::size_t drain(std::uint8_t *out, std::size_t capacity) {
        std::size_t written = 0;
        check(minionn_session_drain(get(), out, capacity, &written));
        return written;
    }
    void end_of_input() { check(minionn_session_end_of_input(get())); }

    /// Works as far as it can. What it throws says why the session is over.
    State poll() {
        State state = MINIONN_BUSY;
        told(minionn_session_poll(get(), &state));
        return state;
    }

    /// Moves bytes and works, until a client waits for its next command, or the session has ended.
    /// The stream has `std::size_t read(std::uint8_t *, std::size_t)`, which waits for at least one
    /// byte and returns 0 at the end, and `std::size_t write(const std::uint8_t *, std::size_t)`,
    /// which writes at least one. What they throw ends the session and is thrown on.
    template <class Stream>
    void run(Stream &stream) {
        detail::Io<Stream> io(stream);
        const auto functions = io.io();
        const auto status = minionn_session_run(get(), &functions);
        io.check(status == MINIONN_ERROR_IO ? status : MINIONN_OK);
        told(status);
    }

    /// How far the session has come.
    Progress progress() const {
        Progress progress{};
        check(minionn_session_progress(get(), &progress));
        return progress;
    }

    /// Shares the work with threads that `executor` lends until the session ends; null: no longer.
    void use_workers(const minionn_executor *executor) {
        check(minionn_session_use_workers(get(), executor));
    }

    minionn_session *get() const noexcept { return object_.get(); }

  protected:
    Session(std::size_t memory, std::shared_ptr<const void> lender)
        : object_(memory, std::move(lender)) {}

    /// Throws unless all is well; with what the peer said, if it ended the session.
    void told(minionn_status status) const {
        if (status == MINIONN_ERROR_PEER_ABORTED)
            throw Error(status, minionn_strerror(progress().peer_status));
        check(status);
    }

    Bytes export_half(std::size_t size) {
        Bytes out(size);
        std::size_t written = 0;
        check(minionn_session_export_pairing(get(), out.data(), out.size(), &written));
        out.resize(written);
        return out;
    }

    detail::Object<minionn_session, minionn_session_wipe> object_;
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
class Client : public Session {
  public:
    Client(Plan plan, const Options &options, Random random)
        : Session(memory(plan, options), plan.bytes()), plan_(std::move(plan)) {
        check(minionn_client_init(object_.memory(), object_.size(), plan_.data(), plan_.size(),
                                  &options, &random, object_.slot()));
    }
    /// Goes on with a pairing, without set-up. If the server has forgotten it, poll() or run()
    /// throws: then begin without it.
    Client(Plan plan, const Options &options, Random random, const Pairing &pairing)
        : Session(memory(plan, options), plan.bytes()), plan_(std::move(plan)) {
        check(minionn_client_resume(object_.memory(), object_.size(), plan_.data(), plan_.size(),
                                    &options, pairing.data(), pairing.size(), &random,
                                    object_.slot()));
    }

    /// This party's half of the pairing. Asks the server to keep the other: poll until idle.
    Bytes export_pairing() { return export_half(MINIONN_CLIENT_PAIRING_BYTES); }

    void prepare() { check(minionn_client_prepare(get())); }
    void predict(const float *x, std::size_t n) { check(minionn_client_predict(get(), x, n)); }
    void predict(const std::vector<float> &x) { predict(x.data(), x.size()); }
    void predict_quantised(const std::vector<std::int64_t> &x) {
        check(minionn_client_predict_quantised(get(), x.data(), x.size()));
    }

    Answer answer() {
        Answer answer;
        const std::size_t size = plan_.info().answer_length;
        std::size_t written = 0;
        answer.integers.resize(size);
        answer.logits.resize(size);
        check(minionn_client_answer_quantised(get(), answer.integers.data(), size, &written,
                                              &answer.argmax));
        check(minionn_client_answer(get(), answer.logits.data(), size, &written, &answer.argmax));
        return answer;
    }

    /// Predictions that are left in the stock.
    std::uint32_t remaining() const { return progress().remaining; }
    void close() { check(minionn_client_close(get())); }

    const Plan &plan() const noexcept { return plan_; }

  private:
    static std::size_t memory(const Plan &plan, const Options &options) {
        std::size_t bytes = 0;
        check(minionn_client_memory(plan.data(), plan.size(), &options, &bytes));
        return bytes;
    }
    Plan plan_;
};

/// What a new connection asks for.
struct Greeting {
    minionn_greeting_kind kind;
    /// For a session: the client's, with the buffers that were handed in.
    Options options;
    /// Bytes of the message.
    std::size_t size;
    /// The pairing that the session goes on with, if there is one: make a Server with it, or refuse
    /// with MINIONN_ERROR_UNKNOWN_PAIRING.
    std::optional<PairingId> pairing;

    /// Nothing until enough bytes are there; throws if this is no client.
    static std::optional<Greeting> peek(const Bytes &received, const Options &own) {
        minionn_greeting found{};
        const auto status = minionn_greeting_peek(received.data(), received.size(), &own, &found);
        if (status == MINIONN_NEED_MORE) return std::nullopt;
        check(status);
        Greeting greeting{found.kind, Options(found.options), found.frame_len, std::nullopt};
        if (found.kind == MINIONN_GREETING_RESUME) {
            greeting.pairing.emplace();
            std::copy(std::begin(found.pairing_id), std::end(found.pairing_id),
                      greeting.pairing->begin());
        }
        return greeting;
    }

    /// What tells a client that the connection ends because of `reason`.
    static Bytes refusal(minionn_status reason) {
        Bytes out(MINIONN_REFUSAL_BYTES);
        std::size_t written = 0;
        check(minionn_greeting_refuse(reason, out.data(), out.size(), &written));
        return out;
    }
};

/// One session of a server. `model` is kept alive by it.
class Server : public Session {
  public:
    Server(const std::shared_ptr<const Model> &model, const Options &options, Random random)
        : Session(memory(*model, options), model) {
        check(minionn_server_init(object_.memory(), object_.size(), model->get(), &options, &random,
                                  object_.slot()));
    }
    /// Goes on with the pairing that the greeting names, without set-up.
    Server(const std::shared_ptr<const Model> &model, const Options &options, Random random,
           const Pairing &pairing)
        : Session(memory(*model, options), model) {
        check(minionn_server_resume(object_.memory(), object_.size(), model->get(), &options,
                                    pairing.data(), pairing.size(), &random, object_.slot()));
    }

    /// This party's half of the pairing, once set-up has finished.
    Bytes export_pairing() { return export_half(MINIONN_SERVER_PAIRING_BYTES); }

  private:
    static std::size_t memory(const Model &model, const Options &options) {
        std::size_t bytes = 0;
        check(minionn_server_memory(model.get(), &options, &bytes));
        return bytes;
    }
};

} // namespace minionn

#endif // MINIONN_HPP
