#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/chat_session.h"

namespace rapid {
namespace {

using Kind = ChatCommand::Kind;

TEST(ChatLine, Commands) {
  EXPECT_EQ(parse_chat_line("/help").kind, Kind::help);
  EXPECT_EQ(parse_chat_line("  /reset  ").kind, Kind::reset);
  EXPECT_EQ(parse_chat_line("/stats").kind, Kind::stats);
  for (const char* leave : {"/exit", "/quit", "exit", "quit", " exit\r\n"}) {
    EXPECT_EQ(parse_chat_line(leave).kind, Kind::leave) << leave;
  }
  const auto system = parse_chat_line("/system  Be brief. ");
  EXPECT_EQ(system.kind, Kind::system);
  EXPECT_EQ(system.argument, "Be brief.");
  EXPECT_EQ(parse_chat_line("/save a b.md").argument, "a b.md");
  const auto unknown = parse_chat_line("/hepl me");
  EXPECT_EQ(unknown.kind, Kind::unknown);
  EXPECT_EQ(unknown.argument, "/hepl");
}

TEST(ChatLine, Text) {
  EXPECT_EQ(parse_chat_line(" h\xC3\xA9 ").argument, "h\xC3\xA9");
  EXPECT_EQ(parse_chat_line("//etc/passwd?").kind, Kind::say);
  EXPECT_EQ(parse_chat_line("//etc/passwd?").argument, "/etc/passwd?");
  EXPECT_EQ(parse_chat_line("exit now").kind, Kind::say);
  EXPECT_EQ(parse_chat_line("   ").argument, "");
}

class Session : public testing::Test {
 protected:
  Session() {
    const auto name = "rapid_chat_" + std::to_string(::getpid());
    folder_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directories(folder_);
  }
  ~Session() override {
    std::fclose(out_);
    std::fclose(notes_);
    std::filesystem::remove_all(folder_);
  }

  ChatSession make(ChatSession::Options options) {
    return ChatSession(
        [this](const auto& messages) -> Result<ChatAnswer> {
          asked_ = messages;
          if (fail_) {
            return Error{ErrorCode::context_length, "too long"};
          }
          return answer_;
        },
        out_,
        notes_,
        std::move(options));
  }

  static std::string text_of(FILE* file) {
    std::fflush(file);
    std::rewind(file);
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    return text;
  }

  FILE* out_ = std::tmpfile();
  FILE* notes_ = std::tmpfile();
  std::filesystem::path folder_;
  std::vector<chat::Message> asked_;
  ChatAnswer answer_{.text = "Hello."};
  bool fail_ = false;
};

TEST_F(Session, RemembersTheConversation) {
  auto session = make({.system = "S"});
  EXPECT_TRUE(session.line("one"));
  EXPECT_TRUE(session.line(""));
  EXPECT_TRUE(session.line("two"));
  ASSERT_EQ(asked_.size(), 4u);
  EXPECT_EQ(asked_[0].role, "system");
  EXPECT_EQ(asked_[1].content, "one");
  EXPECT_EQ(asked_[2].role, "assistant");
  EXPECT_EQ(asked_[2].content, "Hello.");
  EXPECT_EQ(asked_[3].content, "two");
  EXPECT_FALSE(session.line("/exit"));
}

TEST_F(Session, ResetKeepsTheSystemText) {
  auto session = make({.system = "S"});
  session.line("one");
  session.line("/reset");
  ASSERT_EQ(session.messages().size(), 1u);
  session.line("/system T");
  EXPECT_EQ(session.messages()[0].content, "T");
  session.line("/system");
  EXPECT_TRUE(session.messages().empty());
}

TEST_F(Session, AFailedQuestionLeavesNoTrace) {
  auto session = make({});
  fail_ = true;
  testing::internal::CaptureStderr();
  EXPECT_TRUE(session.line("one"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "error: too long\n");
  EXPECT_TRUE(session.failed());
  EXPECT_TRUE(session.messages().empty());
  fail_ = false;
  session.line("two");
  EXPECT_FALSE(session.failed());
}

TEST_F(Session, AStoppedAnswerStaysInTheConversation) {
  auto session = make({.verbose = true});
  answer_.interrupted = true;
  session.line("one");
  EXPECT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(text_of(notes_), "[stopped]\n");
}

TEST_F(Session, SaveNeverOverwrites) {
  auto session = make({.title = "m"});
  session.line("one");
  const std::string path = (folder_ / "talk.md").string();
  session.line("/save " + path);
  std::stringstream saved;
  saved << std::ifstream(path).rdbuf();
  EXPECT_EQ(
      saved.str(),
      "# Chat with m\n\n## User\n\none\n\n## Assistant\n\nHello.\n");
  session.line("two");
  testing::internal::CaptureStderr();
  session.line("/save " + path);
  const std::string error = testing::internal::GetCapturedStderr();
  EXPECT_NE(error.find("error: cannot write"), std::string::npos) << error;
  EXPECT_NE(error.find("hint: "), std::string::npos) << error;
  std::stringstream again;
  again << std::ifstream(path).rdbuf();
  EXPECT_EQ(again.str(), saved.str());
}

TEST_F(Session, Stats) {
  auto session = make({});
  session.line("/stats");
  answer_.usage = chat::Usage{
      .prompt_tokens = 58,
      .completion_tokens = 31,
      .cached_tokens = 40,
      .prefill_seconds = 0.12,
      .decode_seconds = 0.75};
  session.line("one");
  session.line("/stats");
  EXPECT_EQ(
      text_of(out_),
      "No finished answer yet.\n"
      "[31 tokens, 40.0 tok/s; prompt 58 (40 cached) in 120 ms]\n");
}

}  // namespace
}  // namespace rapid
