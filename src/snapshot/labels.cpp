#include "snapshot/labels.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "snapshot/file.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kLongest = 64;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f'); }

std::unexpected<Error> no_label(std::string_view label) {
  return fail(ErrorCode::not_found, fmt::format("There is no label \"{}\".", label));
}

}  // namespace

Result<void> check_label(std::string_view label) {
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-'; };
  const bool sound = !label.empty() && label.size() <= kLongest && std::ranges::all_of(label, allowed) &&
                     (is_letter(label[0]) || is_digit(label[0]));
  if (!sound) {
    // Only what can be printed is repeated.
    const bool printable =
        label.size() <= kLongest && std::ranges::all_of(label, [](char c) { return c >= ' ' && c <= '~'; });
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The label{} is not 1 to {} letters, digits, '.', '_' or '-' that begin with a letter or digit.",
                    printable ? fmt::format(" \"{}\"", label) : "", kLongest));
  }
  if (std::ranges::all_of(label, is_hex)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The label \"{}\" could be the beginning of an id: it needs a character beside 0 to 9 and a "
                    "to f.",
                    label));
  }
  return {};
}

Result<void> Labels::set(std::string_view label, const Hash& root) const {
  DW_TRY(check_label(label));
  if (step_) DW_TRY(step_("link"));
  const auto made = folder_ / ("." + unused_name());
  if (::symlink(root.to_hex().c_str(), made.c_str()) != 0) {
    return LastError().because(fmt::format("The label \"{}\" cannot be made", label));
  }
  const auto renamed = [&]() -> Result<void> {
    if (step_) DW_TRY(step_("label"));
    return rename_file(made, folder_ / label);
  }();
  if (!renamed) ::unlink(made.c_str());
  return renamed;
}

Result<std::uint64_t> Labels::remove_unfinished() const {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().native().starts_with('.')) found.push_back(entry->path());
  }
  if (error) return cannot_be_read(error);
  for (const auto& link : found) {
    if (step_) DW_TRY(step_("collect"));
    if (::unlink(link.c_str()) != 0 && errno != ENOENT) {
      return LastError().because(fmt::format("The file {} cannot be removed", link.string()));
    }
  }
  return found.size();
}

Result<void> Labels::remove(std::string_view label) const {
  DW_TRY(check_label(label));
  if (step_) DW_TRY(step_("unlabel"));
  if (::unlink((folder_ / label).c_str()) == 0) return {};
  if (errno == ENOENT) return no_label(label);
  return LastError().because(fmt::format("The label \"{}\" cannot be removed", label));
}

Result<Hash> Labels::find(std::string_view label) const {
  DW_TRY(check_label(label));
  std::array<char, 65> text{};
  const ssize_t size = ::readlink((folder_ / label).c_str(), text.data(), text.size());
  if (size < 0 && errno != ENOENT && errno != EINVAL) {
    return LastError().because(fmt::format("The label \"{}\" cannot be read", label));
  }
  const auto root = Hash::from_hex({text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))});
  return root ? root : Result<Hash>(no_label(label));
}

Result<std::map<Hash, std::vector<std::string>>> Labels::all() const {
  std::map<Hash, std::vector<std::string>> labels;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string label = entry->path().filename().string();
    if (const auto root = find(label)) labels[*root].push_back(label);
  }
  if (error) return cannot_be_read(error);
  for (auto& of_one : labels) std::ranges::sort(of_one.second);
  return labels;
}

std::unexpected<Error> Labels::cannot_be_read(const std::error_code& error) const {
  return fail(ErrorCode::unavailable,
              fmt::format("The labels in {} cannot be read: {}.", folder_.string(), error.message()));
}

}  // namespace driftwood
