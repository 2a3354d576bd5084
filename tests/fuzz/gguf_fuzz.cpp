// Any bytes as a model file: reading them must end in a value or an error, never in a crash.
//
// The input's first byte says how to take the rest: as a file, or as changes to a sound file of one of the families,
// so that the search begins behind the magic number.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/hash.hpp"
#include "model/family.hpp"
#include "model/file_type.hpp"
#include "model/gguf.hpp"
#include "model/vocabulary_check.hpp"
#include "model/weights.hpp"
#include "tools/random_model.hpp"

namespace {

using namespace driftwood;

struct SoundFile {
  std::vector<std::byte> bytes;
  std::size_t header = 0;
};

const std::vector<SoundFile>& sound_files() {
  static const std::vector<SoundFile> files = [] {
    std::vector<SoundFile> made;
    for (const Family& family : families()) {
      testing::RandomModelOptions options = testing::representative_options(family.architecture);
      options.n_layer = 1;
      options.n_embd = options.n_ff = 32;
      options.head_dim = 16;
      options.n_head = 2;
      options.n_head_kv = 1;
      options.n_vocab = 320;
      options.type = GGML_TYPE_Q4_0;
      const auto writer = testing::random_model(options);
      made.push_back({writer->bytes(), writer->header().size()});
    }
    return made;
  }();
  return files;
}

/// Each four bytes of `changes`: where in the header (two), the byte to put there, and 255 to cut the file there
/// instead.
std::vector<std::byte> changed(const SoundFile& file, std::span<const std::byte> changes) {
  std::vector<std::byte> bytes = file.bytes;
  for (; changes.size() >= 4; changes = changes.subspan(4)) {
    const auto at =
        (std::to_integer<std::size_t>(changes[0]) | std::to_integer<std::size_t>(changes[1]) << 8) % file.header;
    if (changes[3] == std::byte{0xFF}) {
      bytes.resize(std::min(bytes.size(), at));
    } else if (at < bytes.size()) {
      bytes[at] = changes[2];
    }
  }
  bytes.shrink_to_fit();
  return bytes;
}

void read_all(std::span<const std::byte> bytes) {
  const auto gguf = Gguf::parse(bytes);
  if (!gguf) return;
  // Every byte that the views claim must be readable.
  for (const GgufValue& value : gguf->values()) {
    (void)hash_bytes(value.record);
    (void)value.strings();
  }
  for (const GgufTensor& tensor : gguf->tensors()) (void)hash_bytes(bytes.subspan(tensor.offset, tensor.size));
  (void)file_type_name(*gguf);
  (void)checked_vocabulary(*gguf);
  const auto family = family_of(*gguf);
  if (!family) return;
  const auto hyperparameters = read_hyperparameters(*gguf, **family);
  if (hyperparameters) (void)check_weights(*gguf, **family, *hyperparameters);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (input.empty()) return 0;
  const auto choice = std::to_integer<std::size_t>(input[0]);
  const auto& files = sound_files();
  if (choice < files.size()) {
    read_all(changed(files[choice], input.subspan(1)));
  } else {
    read_all(input.subspan(1));
  }
  return 0;
}
