#include "snapshot/chunk_layout.hpp"

#include <fmt/format.h>

namespace driftwood {
namespace {

/// Every span lies in runs; both are in order.
Result<void> check_coverage(const ChunkLayout& layout, const ChunkIndex& index) {
  auto run = layout.runs.begin();
  for (const ChunkSpan& span : index.spans()) {
    std::uint32_t chunk = span.first;
    while (chunk < span.first + span.count) {
      while (run != layout.runs.end() && run->chunk + run->count <= chunk) ++run;
      if (run == layout.runs.end() || run->chunk > chunk) {
        return fail(ErrorCode::corrupt, fmt::format("Chunk {} is not zero, but nothing says where it lies.", chunk));
      }
      chunk = run->chunk + run->count;
    }
  }
  return {};
}

}  // namespace

Result<void> check_layout(const ChunkLayout& layout, const ChunkIndex& index, std::uint64_t slots_in_file) {
  if (layout.files.size() > ChunkLayout::kMaxFiles || layout.runs.size() > ChunkLayout::kMaxRuns) {
    return fail(ErrorCode::corrupt,
                fmt::format("The chunks lie in {} runs of {} other files; at most {} of {} are allowed.",
                            layout.runs.size(), layout.files.size(), ChunkLayout::kMaxRuns, ChunkLayout::kMaxFiles));
  }
  std::uint64_t end = 0, own = 0;
  for (const ChunkRun& run : layout.runs) {
    const bool in_order = run.count != 0 && run.chunk >= end;
    end = std::uint64_t{run.chunk} + run.count;
    const bool own_in_order = run.file != kOwnFile || run.slot == own;
    if (run.file == kOwnFile) own += run.count;
    if (!in_order || end > index.chunk_count() || run.file > layout.files.size() || !own_in_order) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("The run of {} chunks from {} on, in slot {} of file {}, is empty or out of order, or does "
                      "not lie in the memory's {} chunks and the {} other files.",
                      run.count, run.chunk, run.slot, run.file, index.chunk_count(), layout.files.size()));
    }
  }
  if (own != slots_in_file) {
    return fail(ErrorCode::corrupt, fmt::format("The file holds {} chunks, and its runs name {}.", slots_in_file, own));
  }
  return check_coverage(layout, index);
}

}  // namespace driftwood
