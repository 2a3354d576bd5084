// Names that people give to snapshots. Internal to src/snapshot.
//
// A label is a symbolic link whose text is a snapshot's id: made and moved at once by rename, with no other file to be
// kept in step. A label whose snapshot is gone counts as none. Any thread, any number of processes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/store_steps.hpp"

namespace driftwood {

/// invalid_argument: not 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit, or only
/// hexadecimal digits, which could be the beginning of an id.
Result<void> check_label(std::string_view label);

class Labels {
 public:
  Labels(std::filesystem::path folder, StoreStep step) : folder_(std::move(folder)), step_(std::move(step)) {}

  /// Gives a snapshot a label, which another one loses if it has it.
  Result<void> set(std::string_view label, const Hash& root) const;
  /// not_found: there is no such label.
  Result<void> remove(std::string_view label) const;
  /// not_found: there is no such label.
  Result<Hash> find(std::string_view label) const;
  /// All labels of each snapshot, in order.
  Result<std::map<Hash, std::vector<std::string>>> all() const;
  /// Removes links that did not become labels, and counts them. Needs the exclusive lock, so that nobody makes one.
  Result<std::uint64_t> remove_unfinished() const;

 private:
  std::unexpected<Error> cannot_be_read(const std::error_code& error) const;

  std::filesystem::path folder_;
  StoreStep step_;
};

}  // namespace driftwood
