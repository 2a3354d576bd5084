// Any bytes as a model file: reading them must end in a value or an error, never in a crash.

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

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace driftwood;
  const auto gguf = Gguf::parse(std::as_bytes(std::span(data, size)));
  if (!gguf) return 0;
  // Every byte that the views claim must be readable.
  for (const GgufValue& value : gguf->values()) {
    (void)hash_bytes(value.record);
    (void)value.strings();
  }
  for (const GgufTensor& tensor : gguf->tensors()) {
    (void)hash_bytes(std::as_bytes(std::span(data, size)).subspan(tensor.offset, tensor.size));
  }
  (void)file_type_name(*gguf);
  (void)checked_vocabulary(*gguf);
  const auto family = family_of(*gguf);
  if (!family) return 0;
  const auto hyperparameters = read_hyperparameters(*gguf, **family);
  if (hyperparameters) (void)check_weights(*gguf, **family, *hyperparameters);
  return 0;
}
