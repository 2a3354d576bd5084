// The messages between a node and its device worker, as bytes: both are of one build and one machine, so numbers are as
// the machine has them. What arrives is checked all the same: a worker whose memory a driver spoiled must not take the
// node with it. Values; any thread.
//
// A packet goes over the socket, with files where it has some; its body lies in the shared letters (letters.hpp).
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/error.hpp"
#include "device/device.hpp"

namespace driftwood::worker {

enum class Kind : std::uint32_t {
  letters,   ///< the memory of bodies: `size` bytes for each direction, one file
  open,      ///< body: OpenRequest; answer: DeviceInfo
  supports,  ///< body: a graph of one node (graph_wire.hpp); answer: one byte
  hold,      ///< import `id`. Body: ImportRequest; its files; answer: ImportAnswer
  map,       ///< import `id` anew. Body: ImportRequest; its files
  release,   ///< import `id`; no answer
  graph,     ///< `id`; body: a graph
  forget,    ///< graph `id`; no answer
  run,       ///< graph `id`. Body: RunRequest; answer: u64, bytes copied
  read,      ///< graph `id`; body: u32 tensor, u64 bytes; answer: the bytes
  room,      ///< answer: u64, the free bytes of the device's memory; empty: it does not tell
};
inline constexpr std::uint32_t kKinds = 11;

struct Packet {
  static constexpr std::uint32_t kMagic = 0x31577744;  // "DwW1"

  std::uint32_t magic = kMagic;
  Kind kind = Kind::letters;
  std::uint64_t sequence = 0;  ///< an answer has its request's; 0: none is wanted
  std::uint64_t id = 0;
  std::uint64_t size = 0;    ///< of the body, bytes
  std::uint32_t failed = 0;  ///< of an answer: 1 + ErrorCode, and the body is the sentence
  std::uint32_t reserved = 0;
};
static_assert(std::is_trivially_copyable_v<Packet> && sizeof(Packet) == 40);

inline constexpr std::size_t kMostFiles = 250;  ///< in one packet; the system's own limit is 253

class Writer {
 public:
  template <typename T>
    requires std::is_trivially_copyable_v<T> && (!std::is_pointer_v<T>)
  void put(const T& value) {
    const auto* const at = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), at, at + sizeof(T));
  }
  void put_bytes(std::span<const std::byte> bytes) {
    put<std::uint64_t>(bytes.size());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void put_text(std::string_view text) { put_bytes(std::as_bytes(std::span(text))); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  void clear() noexcept { bytes_.clear(); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what a Writer wrote. After a value that was not there, ok() is false and all further ones are zero.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T get() {
    T value{};
    const auto found = take(sizeof(T));
    if (!found.empty()) std::memcpy(static_cast<void*>(&value), found.data(), sizeof(T));
    return value;
  }
  /// Borrowed from what is read.
  std::span<const std::byte> get_bytes() { return take(get<std::uint64_t>()); }
  std::string get_text() {
    const auto found = get_bytes();
    return {reinterpret_cast<const char*>(found.data()), found.size()};
  }
  /// A number of things that take at least `each` bytes, of which more than are left cannot follow.
  std::uint32_t get_count(std::size_t each) {
    const auto count = get<std::uint32_t>();
    if (count > left_.size() / each) ok_ = false;
    return ok_ ? count : 0;
  }

  bool ok() const noexcept { return ok_; }
  /// ok(), and nothing is left.
  bool ended() const noexcept { return ok_ && left_.empty(); }

 private:
  std::span<const std::byte> take(std::uint64_t size) {
    if (!ok_ || size > left_.size()) {
      ok_ = false;
      return {};
    }
    const auto found = left_.first(static_cast<std::size_t>(size));
    left_ = left_.subspan(static_cast<std::size_t>(size));
    return found;
  }

  std::span<const std::byte> left_;
  bool ok_ = true;
};

struct OpenRequest {
  std::string device;
  DeviceOptions options;
};

/// A part of an import's pages.
struct Piece {
  std::uint64_t size = 0;         ///< whole pages; they follow one another
  std::uint64_t file_offset = 0;  ///< of the first, whole pages
  std::uint32_t file = 0;         ///< which of the packet's
  std::uint32_t sealed = 0;       ///< 1: what is written there stays in the worker
};

struct ImportRequest {
  std::uint64_t lead = 0;  ///< bytes of the first page before the import
  std::uint64_t size = 0;  ///< of the import, bytes
  std::uint32_t read_only = 0;
  std::vector<Piece> pieces;
};

struct ImportAnswer {
  Sharing sharing = Sharing::copied;
  std::uint64_t copied = 0;  ///< bytes
};

/// What changed in a graph since its last run, and its inputs.
struct RunRequest {
  struct Shape {
    std::uint32_t tensor = 0;
    std::uint32_t reserved = 0;
    std::int64_t ne[GGML_MAX_DIMS] = {};
    std::uint64_t nb[GGML_MAX_DIMS] = {};
  };
  struct Place {
    std::uint32_t tensor = 0;
    std::uint32_t reserved = 0;
    std::uint64_t import = 0;
    std::uint64_t offset = 0;
  };
  /// Its bytes are no part of the message, but lie behind it, in the order of the inputs: they are large, and need no
  /// check.
  struct Input {
    std::uint32_t tensor = 0;
    std::span<const std::byte> bytes;  ///< borrowed
  };
  std::vector<Shape> shapes;
  std::vector<Place> places;
  std::vector<Input> inputs;
};

void encode(Writer& writer, const OpenRequest& request);
void encode(Writer& writer, const DeviceInfo& info);
void encode(Writer& writer, const ImportRequest& request);
void encode(Writer& writer, const ImportAnswer& answer);
void encode(Writer& writer, const RunRequest& request);

// corrupt: the bytes are no such message.

Result<OpenRequest> decode_open_request(std::span<const std::byte> bytes);
Result<DeviceInfo> decode_device_info(std::span<const std::byte> bytes);
Result<ImportRequest> decode_import_request(std::span<const std::byte> bytes);
Result<ImportAnswer> decode_import_answer(std::span<const std::byte> bytes);
/// `behind`: what lies behind the message; the inputs are borrowed from it.
Result<RunRequest> decode_run_request(std::span<const std::byte> bytes, std::span<const std::byte> behind);

/// corrupt: "The message `what` is broken."
std::unexpected<Error> broken(std::string_view what);

}  // namespace driftwood::worker
