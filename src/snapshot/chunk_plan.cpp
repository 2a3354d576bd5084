#include "snapshot/chunk_plan.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace driftwood {
namespace {

constexpr std::uint32_t kZero = std::numeric_limits<std::uint32_t>::max();

/// Where a chunk lies. Slots of the own file are given last.
struct Place {
  std::uint32_t file = kZero;
  std::uint32_t slot = 0;
};

/// Neighbouring chunks that one mapping can hold, or that are zero.
struct Stretch {
  std::size_t first;
  std::size_t count;
  std::uint32_t file;
};

std::vector<Stretch> stretches(const std::vector<Place>& places) {
  std::vector<Stretch> found;
  for (std::size_t chunk = 0; chunk < places.size(); ++chunk) {
    const Place& place = places[chunk];
    const bool goes_on = !found.empty() && found.back().file == place.file &&
                         (place.file == kOwnFile || place.file == kZero || places[chunk - 1].slot + 1 == place.slot);
    if (goes_on) {
      ++found.back().count;
    } else {
      found.push_back({chunk, 1, place.file});
    }
  }
  return found;
}

/// Places as the base has them; what it has not, or what is not usable there, becomes the file's own.
std::vector<Place> places_from(const ChunkIndex& index, const PlanBase* base, const std::vector<FileReference>& files,
                               const std::function<bool(const FileReference&)>& usable) {
  std::vector<Place> places(index.chunk_count());
  index.for_each([&](std::uint32_t chunk, const Hash&) { places[chunk].file = kOwnFile; });
  if (base == nullptr) return places;

  std::vector<bool> use;
  for (const FileReference& file : files) use.push_back(usable(file));
  const auto before = base->index.by_chunk();
  const auto now = index.by_chunk();
  for (const ChunkRun& run : base->layout.runs) {
    // In `files` the base itself comes first, then those that it refers to.
    if (!use[run.file]) continue;
    const std::uint32_t end = std::min(run.chunk + run.count, index.chunk_count());
    for (std::uint32_t chunk = run.chunk; chunk < end; ++chunk) {
      const bool same = now[chunk] != nullptr && before[chunk] != nullptr && *now[chunk] == *before[chunk];
      if (same) places[chunk] = {run.file + 1, run.slot + (chunk - run.chunk)};
    }
  }
  return places;
}

void merge_small_files(std::vector<Place>& places, std::size_t file_count, const PlanLimits& limits) {
  std::vector<std::size_t> chunks(file_count + 1, 0);
  for (const Place& place : places) {
    if (place.file != kZero) ++chunks[place.file];
  }
  std::vector<std::uint32_t> used;
  for (std::uint32_t file = 1; file <= file_count; ++file) {
    if (chunks[file] != 0) used.push_back(file);
  }
  if (used.size() <= limits.most_files) return;
  std::ranges::sort(used, {}, [&](std::uint32_t file) { return std::pair(chunks[file], file); });
  used.resize(used.size() - limits.kept_files);
  for (Place& place : places) {
    if (std::ranges::find(used, place.file) != used.end()) place = {kOwnFile, 0};
  }
}

std::size_t mapped(const std::vector<Stretch>& all) {
  return static_cast<std::size_t>(std::ranges::count_if(all, [](const Stretch& one) { return one.file != kZero; }));
}

/// Also takes in the zero chunks between runs: in the own file they are holes, which cost nothing.
void merge_short_runs(std::vector<Place>& places, const PlanLimits& limits) {
  auto all = stretches(places);
  if (mapped(all) <= limits.most_runs) return;
  for (std::size_t length = 1; mapped(all) > limits.kept_runs && length <= places.size(); length *= 2) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool at_an_end = i == 0 || i + 1 == all.size();
      if (all[i].count > length || (at_an_end && all[i].file == kZero)) continue;
      for (std::size_t chunk = all[i].first; chunk < all[i].first + all[i].count; ++chunk)
        places[chunk] = {kOwnFile, 0};
    }
    all = stretches(places);
  }
}

}  // namespace

ChunkLayout plan_layout(const ChunkIndex& index, const PlanBase* base,
                        const std::function<bool(const FileReference&)>& usable, const PlanLimits& limits) {
  std::vector<FileReference> files;
  if (base != nullptr) {
    files.push_back(base->file);
    files.insert(files.end(), base->layout.files.begin(), base->layout.files.end());
  }
  auto places = places_from(index, base, files, usable);
  merge_small_files(places, files.size(), limits);
  merge_short_runs(places, limits);

  ChunkLayout layout;
  std::vector<std::uint32_t> renumbered(files.size() + 1, 0);
  std::uint32_t own_slot = 0;
  for (const Stretch& one : stretches(places)) {
    if (one.file == kZero) continue;
    const auto count = static_cast<std::uint32_t>(one.count);
    ChunkRun run{static_cast<std::uint32_t>(one.first), count, kOwnFile, own_slot};
    if (one.file == kOwnFile) {
      own_slot += count;
    } else {
      std::uint32_t& number = renumbered[one.file];
      if (number == 0) {
        layout.files.push_back(files[one.file - 1]);
        number = static_cast<std::uint32_t>(layout.files.size());
      }
      run.file = number;
      run.slot = places[one.first].slot;
    }
    layout.runs.push_back(run);
  }
  return layout;
}

}  // namespace driftwood
