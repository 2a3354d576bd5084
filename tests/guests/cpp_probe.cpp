// A C++ reactor whose state is libc++'s containers, a static object and virtual calls through tables.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace {

struct Shape {
  virtual ~Shape() = default;
  virtual std::int32_t area() const = 0;
};
struct Square : Shape {
  explicit Square(std::int32_t side) : side_(side) {}
  std::int32_t area() const override { return side_ * side_; }
  std::int32_t side_;
};
struct Strip : Shape {
  explicit Strip(std::int32_t length) : length_(length) {}
  std::int32_t area() const override { return length_; }
  std::int32_t length_;
};

/// Made by the module's constructors.
struct Shore {
  Shore() { names.emplace("begin", 1); }
  std::map<std::string, std::int32_t> names;
  std::vector<std::unique_ptr<Shape>> shapes;
} shore;

}  // namespace

extern "C" __attribute__((export_name("add"))) std::int32_t add(std::int32_t value) {
  if (value % 2 == 0) {
    shore.shapes.push_back(std::make_unique<Square>(value));
  } else {
    shore.shapes.push_back(std::make_unique<Strip>(value));
  }
  shore.names[std::string(static_cast<std::size_t>(value % 7) + 1, 'x') + std::to_string(value)] += value;
  std::sort(shore.shapes.begin(), shore.shapes.end(),
            [](const auto& a, const auto& b) { return a->area() > b->area(); });
  std::int32_t sum = shore.shapes.front()->area();
  for (const auto& [name, count] : shore.names) sum += static_cast<std::int32_t>(name.size()) * count;
  return sum;
}
