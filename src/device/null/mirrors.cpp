#include "device/null/mirrors.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include <algorithm>
#include <cstring>

#include "device/graph.hpp"

namespace driftwood {
namespace {

/// The ranges in order, with those that overlap or touch made one.
std::vector<ByteRange> merged(std::vector<ByteRange> ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::vector<ByteRange> result;
  for (const ByteRange& range : ranges) {
    if (!result.empty() && range.offset <= result.back().offset + result.back().size) {
      const std::size_t end = std::max(result.back().offset + result.back().size, range.offset + range.size);
      result.back().size = end - result.back().offset;
    } else {
      result.push_back(range);
    }
  }
  return result;
}

}  // namespace

Result<ggml_backend_buffer_t> Mirrors::add(std::byte* host, std::size_t size, bool fixed) {
  ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
  if (buffer == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There are no {} bytes for a copy of host memory.", size));
  }
  auto* const copy = static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer));
  if (fixed) std::memcpy(copy, host, size);
  const std::lock_guard lock(mutex_);
  mirrors_.emplace(buffer, Mirror{host, copy, fixed});
  return buffer;
}

void Mirrors::remove(ggml_backend_buffer_t buffer) noexcept {
  {
    const std::lock_guard lock(mutex_);
    mirrors_.erase(buffer);
  }
  ggml_backend_buffer_free(buffer);
}

void Mirrors::add_range(Ranges& ranges, const ggml_tensor* tensor) const {
  const auto found = mirrors_.find(tensor->buffer);
  if (found == mirrors_.end() || found->second.fixed) return;
  const auto offset = static_cast<const std::byte*>(tensor->data) - found->second.copy;
  ranges[found->first].push_back({static_cast<std::size_t>(offset), ggml_nbytes(tensor)});
}

std::size_t Mirrors::pull(ggml_cgraph* graph) {
  const std::lock_guard lock(mutex_);
  Ranges ranges;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    // What is written is read first: an operator may write only some of its result.
    add_range(ranges, node);
    for (const ggml_tensor* source : node->src) {
      if (source != nullptr) add_range(ranges, source);
    }
  }
  std::size_t copied = 0;
  for (const auto& [buffer, touched] : ranges) {
    const Mirror& mirror = mirrors_.at(buffer);
    for (const auto& [offset, size] : merged(touched)) {
      std::memcpy(mirror.copy + offset, mirror.host + offset, size);
      copied += size;
    }
  }
  return copied;
}

std::size_t Mirrors::push(ggml_cgraph* graph) {
  const std::lock_guard lock(mutex_);
  Ranges ranges;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    if (is_computed(node)) add_range(ranges, node);
  }
  std::size_t copied = 0;
  for (const auto& [buffer, written] : ranges) {
    const Mirror& mirror = mirrors_.at(buffer);
    for (const auto& [offset, size] : merged(written)) {
      std::memcpy(mirror.host + offset, mirror.copy + offset, size);
      copied += size;
    }
  }
  return copied;
}

}  // namespace driftwood
