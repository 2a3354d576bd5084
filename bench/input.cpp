#include "input.hpp"

#include <cstdlib>
#include <string_view>

#include "apps/driftwood/catalogue.hpp"
#include "apps/driftwood/model_store.hpp"
#include "apps/driftwood/paths.hpp"
#include "core/cache_folder.hpp"

namespace driftwood::bench {
namespace {

/// Repeated until it fills the longest context.
constexpr std::string_view kText =
    "A river carries what the forest lets go. Branches that broke in the winter drift for weeks, past mills and under "
    "bridges, and the water takes off their bark and rounds their ends until nobody can tell which tree they came from. "
    "At the mouth the current slows, the wood turns in the tide, and one morning it lies on the beach in a long grey "
    "line. Children build huts of it, and old men carry the straight pieces home for their fences. What is left over "
    "goes back to the sea with the next storm, which brings other wood in its place. ";

}  // namespace

Result<std::filesystem::path> find_model(const std::string& given) {
  std::string wanted = given;
  if (const char* named = std::getenv("DRIFTWOOD_TEST_MODEL"); wanted.empty() && named != nullptr) wanted = named;
  if (wanted.empty()) wanted = cli::default_model().name;
  DW_TRY_ASSIGN(const auto folder, cli::model_store_path());
  DW_TRY_ASSIGN(auto found, cli::ModelStore(folder).resolve(wanted));
  return std::move(found.path);
}

std::filesystem::path packed_weights_folder() { return cache_folder("packed").value_or(""); }

Result<std::vector<Token>> text_tokens(const std::filesystem::path& model, std::size_t count) {
  DW_TRY_ASSIGN(const auto tokenizer, Tokenizer::load(model));
  DW_TRY_ASSIGN(const std::vector<Token> paragraph, tokenizer->tokenize(kText, false, false));
  if (paragraph.empty()) return fail(ErrorCode::unsupported, "The model's tokenizer makes no tokens of a text.");
  std::vector<Token> tokens;
  tokens.reserve(count);
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(paragraph[i % paragraph.size()]);
  return tokens;
}

}  // namespace driftwood::bench
