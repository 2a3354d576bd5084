#include "line_editor.hpp"

#include <histedit.h>

#include <cstdio>

#include "core/handle.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;
constexpr int kHistoryLines = 1000;

}  // namespace

struct LineEditor::State {
  Handle<EditLine, el_end> editor;
  Handle<History, history_end> history;
  fs::path history_file;
  std::string prompt;
  bool interrupted = false;
  bool continued = false;

  static State& of(EditLine* editor) {
    void* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return *static_cast<State*>(state);
  }
  static char* show_prompt(EditLine* editor) {
    static char continuation[] = ". ";
    State& state = of(editor);
    return state.continued ? continuation : state.prompt.data();
  }
  /// Bound to Ctrl-C, which gives no signal while a line is edited.
  static unsigned char interrupt(EditLine* editor, int) {
    of(editor).interrupted = true;
    return CC_EOF;
  }

  /// One line as typed; nothing at its end, with `interrupted` set when that was Ctrl-C.
  std::optional<std::string> read_line() {
    interrupted = false;
    // Before the prompt is seen: the library itself does it after, and a Ctrl-C in between would be a signal.
    el_set(editor.get(), EL_PREP_TERM, 1);
    int size = 0;
    const char* text = el_gets(editor.get(), &size);
    if (text == nullptr || size <= 0) return std::nullopt;
    std::string line(text, static_cast<std::size_t>(size));
    if (line.ends_with('\n')) line.pop_back();
    return line;
  }
  bool line_is_empty() const {
    const LineInfo* line = el_line(editor.get());
    return line->lastchar == line->buffer;
  }
};

Result<std::unique_ptr<LineEditor>> LineEditor::create(const fs::path& history, std::string prompt) {
  auto state = std::make_unique<State>();
  state->history_file = history;
  state->prompt = std::move(prompt);
  state->editor.reset(el_init("driftwood", stdin, stdout, stderr));
  state->history.reset(history_init());
  if (state->editor == nullptr || state->history == nullptr) {
    return fail(ErrorCode::unavailable, "The terminal's line editor could not be set up.");
  }
  EditLine* editor = state->editor.get();
  HistEvent event;
  ::history(state->history.get(), &event, H_SETSIZE, kHistoryLines);
  ::history(state->history.get(), &event, H_SETUNIQUE, 1);
  ::history(state->history.get(), &event, H_LOAD, history.c_str());
  el_set(editor, EL_CLIENTDATA, state.get());
  el_set(editor, EL_PROMPT, &State::show_prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, ::history, state->history.get());
  el_set(editor, EL_ADDFN, "driftwood-interrupt", "Give up the line", &State::interrupt);
  el_source(editor, nullptr);
  el_set(editor, EL_BIND, "^C", "driftwood-interrupt", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  return std::unique_ptr<LineEditor>(new LineEditor(std::move(state)));
}

LineEditor::LineEditor(std::unique_ptr<State> state) : state_(std::move(state)) {}

LineEditor::~LineEditor() {
  std::error_code error;
  fs::create_directories(state_->history_file.parent_path(), error);
  HistEvent event;
  ::history(state_->history.get(), &event, H_SAVE, state_->history_file.c_str());
}

std::optional<std::string> LineEditor::read() {
  std::string text;
  state_->continued = false;
  while (true) {
    auto line = state_->read_line();
    if (!line) {
      std::fputc('\n', stdout);
      if (!state_->interrupted || (text.empty() && state_->line_is_empty())) return std::nullopt;
      el_reset(state_->editor.get());
      text.clear();
      state_->continued = false;
      continue;
    }
    if (!line->empty()) {
      HistEvent event;
      history(state_->history.get(), &event, H_ENTER, line->c_str());
    }
    state_->continued = line->ends_with('\\');
    if (!state_->continued) return text + *line;
    line->back() = '\n';
    text += *line;
  }
}

}  // namespace driftwood::cli
