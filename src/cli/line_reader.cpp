#include "cli/line_reader.h"

#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rapid {

namespace {

class PipeReader : public LineReader {
 public:
  ~PipeReader() override { std::free(buffer_); }

  InputLine read() override {
    errno = 0;
    const ssize_t got = ::getline(&buffer_, &capacity_, stdin);
    if (got < 0) {
      const bool interrupted = errno == EINTR;
      std::clearerr(stdin);
      return {
          interrupted ? InputLine::Kind::interrupt : InputLine::Kind::end, ""};
    }
    std::string text(buffer_, static_cast<size_t>(got));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
      text.pop_back();
    }
    return {InputLine::Kind::text, std::move(text)};
  }

  bool interactive() const override { return false; }

 private:
  char* buffer_ = nullptr;
  size_t capacity_ = 0;
};

// Line editing counts characters by the locale, so it needs a UTF-8 one even
// where the environment names none.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(::nl_langinfo(CODESET), "UTF-8") != 0) {
    for (const char* name : {"C.UTF-8", "en_US.UTF-8"}) {
      if (std::setlocale(LC_CTYPE, name)) {
        break;
      }
    }
  }
}

class TerminalReader : public LineReader {
 public:
  TerminalReader(std::string prompt, std::filesystem::path history_file)
      : prompt_(std::move(prompt)), history_file_(std::move(history_file)) {
    use_utf8();
    edit_ = ::el_init("rapid-mlx", stdin, stdout, stderr);
    history_ = ::history_init();
    HistEvent event{};
    ::history(history_, &event, H_SETSIZE, 1000);
    ::history(history_, &event, H_SETUNIQUE, 1);
    ::history(history_, &event, H_LOAD, history_file_.c_str());
    ::el_set(edit_, EL_CLIENTDATA, this);
    ::el_set(edit_, EL_PROMPT, prompt_of);
    ::el_set(edit_, EL_EDITOR, "emacs");
    ::el_set(edit_, EL_SIGNAL, 1);  // puts the terminal back on SIGTERM
    ::el_set(edit_, EL_HIST, ::history, history_);
    ::el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    // Ctrl-D typed while nobody reads comes as a zero byte.
    ::el_set(edit_, EL_BIND, "^@", "em-delete-or-list", nullptr);
    // Ctrl-C comes as a key while a line is edited: no signal can be lost
    // between two reads.
    ::el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
    ::el_set(edit_, EL_ADDFN, "rapid-interrupt", "leave the line", on_ctrl_c);
    ::el_set(edit_, EL_BIND, "^C", "rapid-interrupt", nullptr);
  }

  ~TerminalReader() override {
    ::history_end(history_);
    ::el_end(edit_);
  }

  InputLine read() override {
    interrupted_ = false;
    int count = 0;
    // Before the prompt shows: the library itself would do it after.
    ::el_set(edit_, EL_PREP_TERM, 1);
    const char* line = ::el_gets(edit_, &count);
    if (interrupted_) {
      std::fputs("^C\n", stdout);
      return {InputLine::Kind::interrupt, ""};
    }
    if (!line || count <= 0) {
      std::fputc('\n', stdout);
      return {InputLine::Kind::end, ""};
    }
    std::string text = line;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
      text.pop_back();
    }
    remember(text);
    return {InputLine::Kind::text, std::move(text)};
  }

  bool interactive() const override { return true; }

 private:
  static TerminalReader* self(EditLine* edit) {
    void* data = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &data);
    return static_cast<TerminalReader*>(data);
  }

  static char* prompt_of(EditLine* edit) { return self(edit)->prompt_.data(); }

  static unsigned char on_ctrl_c(EditLine* edit, int) {
    self(edit)->interrupted_ = true;
    return CC_EOF;
  }

  void remember(const std::string& text) {
    if (text.find_first_not_of(" \t") == std::string::npos) {
      return;
    }
    HistEvent event{};
    ::history(history_, &event, H_ENTER, text.c_str());
    ::history(history_, &event, H_SAVE, history_file_.c_str());
  }

  std::string prompt_;
  std::filesystem::path history_file_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineReader> make_line_reader(
    const std::string& prompt, const std::filesystem::path& history_file) {
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) {
    std::error_code ignored;
    std::filesystem::create_directories(history_file.parent_path(), ignored);
    return std::make_unique<TerminalReader>(prompt, history_file);
  }
  return std::make_unique<PipeReader>();
}

}  // namespace rapid
