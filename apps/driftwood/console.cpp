#include "console.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "utf8.hpp"

namespace driftwood::cli {

bool is_terminal(int fd) noexcept { return isatty(fd) == 1; }

bool may_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return is_terminal(fd) && (no_color == nullptr || *no_color == '\0') && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

std::string bold(int fd, std::string_view text) {
  if (!may_color(fd)) return std::string(text);
  return "\x1b[1m" + std::string(text) + "\x1b[0m";
}

std::string printable(std::string_view text) {
  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character next = decode_utf8(text);
    const bool control = next.code_point < 0x20 || (next.code_point >= 0x7F && next.code_point < 0xA0);
    if (next.valid && (!control || text[0] == '\n' || text[0] == '\t')) {
      clean += text.substr(0, next.size);
    } else {
      clean += kReplacement;
    }
    text.remove_prefix(next.size);
  }
  return clean;
}

void print_json(const Json& value, bool pretty) {
  const std::string text = value.dump(pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace);
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
}

void print_error(const Error& error, bool json) {
  print_note(error.to_string());
  if (json) {
    print_json({{"error", {{"code", to_string(error.code)}, {"message", error.to_string()}}}});
  }
}

void print_note(std::string_view sentence) {
  std::fflush(stdout);
  std::fprintf(stderr, "driftwood: %s\n", printable(sentence).c_str());
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], utf8_length(row[i]));
  }
  bool heading = true;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - utf8_length(row[i]) + 2, ' ');
    }
    std::fprintf(stdout, "%s\n", heading ? bold(STDOUT_FILENO, line).c_str() : line.c_str());
    heading = false;
  }
}

}  // namespace driftwood::cli
