// What goes to the terminal: results on standard output, sentences and progress on
// standard error. Text that comes from files and guests passes through printable().
// One thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace driftwood::cli {

/// JSON objects that keep the order in which their fields were set.
using Json = nlohmann::ordered_json;

/// True when the descriptor is a terminal.
bool is_terminal(int fd) noexcept;
/// True when text on `fd` may be coloured: a terminal that can, and NO_COLOR is not set.
bool may_color(int fd);
/// The text in bold where `fd` may be coloured.
std::string bold(int fd, std::string_view text);

/// The text without what could steer a terminal: control characters other than line feed
/// and tab, and bytes that are not UTF-8, become U+FFFD.
std::string printable(std::string_view text);

/// One JSON value and a line feed on standard output; `pretty`: over several lines.
void print_json(const Json& value, bool pretty = true);
/// "driftwood: <sentence>" on standard error, and with `json` {"error": ...} on standard output.
void print_error(const Error& error, bool json);
/// "driftwood: <sentence>" on standard error.
void print_note(std::string_view sentence);

/// Columns of cells, each as wide as its widest cell, on standard output; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace driftwood::cli
