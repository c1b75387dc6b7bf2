#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <type_traits>

#include <CLI/CLI.hpp>

#include "base/home.h"
#include "base/queue.h"
#include "cli/chat_session.h"
#include "cli/chat_tools.h"
#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/line_reader.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "engine/front.h"

namespace rapid {

namespace {

struct ChatOptions {
  ModelOption model;
  EngineFlags engine;
  SamplingFlags sampling;
  std::string system;
  std::string format;
  FrontOptions front;
  int max_tokens = 0;  // 0 = the rest of the context
  bool use_mcp = false;
  std::string mcp_config;  // "" = the usual place
  bool verbose = false;
};

// Prints one answer as it comes and gathers it. Reasoning is dim on a
// terminal; on a pipe it is text like the rest.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(bool terminal) : terminal_(terminal) {}

  void on(const chat::Event& event) {
    std::visit([this](const auto& e) { handle(e); }, event);
  }

  bool ended() const { return ended_; }
  std::optional<Error> error;
  ChatAnswer answer;

  void end_line() {
    style(false);
    if (!at_line_start_) {
      write("\n");
    }
  }

 private:
  void handle(const chat::Delta& delta) {
    const bool reasoning = delta.kind == chat::Delta::Kind::reasoning;
    if (reasoning != reasoning_ && !answer.reasoning.empty()) {
      end_line();
    }
    reasoning_ = reasoning;
    style(reasoning);
    write(delta.text);
    (reasoning ? answer.reasoning : answer.text) += delta.text;
  }
  void handle(const chat::ToolCallEvent& event) {
    end_line();
    write(fmt::format("{}({})\n", event.call.name, event.call.arguments));
    answer.tool_calls.push_back(event.call);
  }
  void handle(const chat::Rejected& rejected) {
    style(false);
    write(rejected.raw);
    answer.text += rejected.raw;
  }
  void handle(const chat::Finished& finished) {
    answer.cut = finished.reason == chat::Finished::Reason::length;
    answer.repeats = finished.token_loop ? finished.token_loop->repeats : 0;
  }
  void handle(const chat::Done& done) {
    answer.usage = done.usage;
    ended_ = true;
  }
  void handle(const chat::Failed& failed) {
    error = failed.error;
    ended_ = true;
  }
  void handle(const chat::Started&) {}
  void handle(const chat::Progress&) {}
  void handle(const chat::Prompt&) {}
  void handle(const chat::ToolRun&) {}

  void style(bool dim) {
    if (terminal_ && dim != dim_) {
      std::fputs(dim ? "\033[2m" : "\033[0m", stdout);
    }
    dim_ = dim;
  }
  void write(const std::string& text) {
    if (!text.empty()) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      at_line_start_ = text.back() == '\n';
    }
    std::fflush(stdout);
  }

  bool terminal_;
  bool reasoning_ = false;
  bool dim_ = false;
  bool at_line_start_ = true;
  bool ended_ = false;
};

class Conversation {
 public:
  Conversation(
      const ChatOptions& options, Front& front, std::vector<chat::Tool> tools)
      : options_(options), front_(front), tools_(std::move(tools)) {}

  // The interrupt thread calls this.
  void wake() { events_.push(std::nullopt); }

  Result<ChatAnswer> ask(
      const std::vector<chat::Message>& messages,
      bool offer_tools,
      const Interrupts& interrupts,
      bool terminal) {
    chat::Request request;
    request.messages = messages;
    if (offer_tools) {
      request.tools = tools_;
    }
    if (!options_.engine.adapters.empty()) {
      request.adapter = options_.engine.adapters.back().name;
    }
    request.sampling = options_.sampling.sampling();
    if (options_.max_tokens > 0) {
      request.max_tokens = options_.max_tokens;
    }
    while (events_.try_pop()) {
    }
    RAPID_TRY(
        const Ticket ticket,
        front_.submit(request, [this](const chat::Event& event) {
          events_.push(event);
        }));
    AnswerPrinter printer(terminal);
    // The count, not the wake-up, says whether to stop: Ctrl-C may have come
    // before the queue was emptied.
    while (!printer.ended()) {
      if (interrupts.count() > 0) {
        front_.cancel(ticket);
        printer.answer.interrupted = true;
        break;
      }
      if (const auto item = events_.pop(); *item) {
        printer.on(**item);
      }
    }
    printer.end_line();
    if (printer.error) {
      return *printer.error;
    }
    return std::move(printer.answer);
  }

 private:
  const ChatOptions& options_;
  Front& front_;
  std::vector<chat::Tool> tools_;
  Queue<std::optional<chat::Event>> events_;  // none = Ctrl-C
};

void greet(const ModelPlace& place, const EngineInfo& info) {
  fmt::print(
      stderr,
      "{} on {} ({} threads), context {}. /help lists commands, Ctrl-D "
      "leaves.\n",
      place.name,
      info.device,
      info.threads,
      info.context_length);
}

// Reads and answers until the end; false when the last question failed or a
// signal ended a piped chat.
bool talk(
    const ChatOptions& options,
    const ModelPlace& place,
    Front& front,
    const McpToolBox& box) {
  Conversation conversation(options, front, box.tools());
  // SIGTERM keeps its meaning: nothing here needs more than to end.
  Interrupts interrupts(
      Interrupts::Watch::interrupt, [&] { conversation.wake(); });
  const auto reader = make_line_reader("> ", home_dir() / "chat_history");
  const bool terminal = reader->interactive();
  TerminalConsent consent(terminal);
  const ToolRounds tools = {
      .box = box,
      .allowed =
          [&](const chat::ToolCall& call) {
            return box.always_allowed(call.name) || consent(call);
          },
      .ended =
          [](const chat::ToolCall& call, const McpResult& result) {
            fmt::print(
                stderr,
                "[{}: {} bytes{}]\n",
                call.name,
                result.text.size(),
                result.is_error ? ", failed" : "");
          },
      .keep_going = [&] { return interrupts.count() == 0; }};
  const auto ask = [&](const auto& messages, bool offer_tools) {
    return conversation.ask(messages, offer_tools, interrupts, terminal);
  };
  ChatSession session(
      [&](const auto& messages) {
        return ask_with_tools(ask, messages, tools);
      },
      stdout,
      stderr,
      {.system = options.system,
       .title = place.name,
       .verbose = options.verbose});
  if (terminal) {
    greet(place, front.engine().info());
  }
  bool interrupted_once = false;
  for (;;) {
    if (terminal) {
      interrupts.reset();
    }
    const InputLine line = reader->read();
    if (line.kind == InputLine::Kind::end) {
      return terminal || !session.failed();
    }
    if (line.kind == InputLine::Kind::interrupt) {
      if (!terminal || interrupted_once) {
        return terminal;
      }
      interrupted_once = true;
      fmt::print(stderr, "Ctrl-C again leaves.\n");
      continue;
    }
    interrupted_once = false;
    if (!session.line(line.text)) {
      return true;
    }
    if (!terminal && interrupts.count() > 0) {
      return false;
    }
  }
}

// The tools of the servers in mcp.json, if they were asked for.
Result<McpToolBox> open_tools(const ChatOptions& options) {
  if (!options.use_mcp) {
    return McpToolBox({});
  }
  RAPID_TRY(
      const McpConfig config,
      read_mcp_config(mcp_config_path(options.mcp_config)));
  Interrupts interrupts;
  McpToolBox box = McpToolBox::open(
      config, home_dir() / "logs", [&] { return interrupts.count() == 0; });
  for (const Error& error : box.trouble()) {
    report(error);
  }
  fmt::print(stderr, "{} tools of MCP servers\n", box.tools().size());
  return box;
}

Result<bool> start_chat(const ChatOptions& options) {
  ModelPlace place;
  ModelPlace draft;
  {
    Interrupts interrupts;
    const FetchOptions fetch = {
        .cancelled = [&] { return interrupts.count() > 0; }};
    RAPID_TRY(place, fetch_model(options.model.model, fetch));
    if (!options.engine.draft.empty()) {
      RAPID_TRY(draft, fetch_model(options.engine.draft, fetch));
    }
  }
  RAPID_TRY(const auto text, open_text(place, options.format));
  if (!text->chat_template) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{} has no chat template", place.name),
        "use a model that was trained to chat, or /v1/completions of `serve`"};
  }
  RAPID_TRY(const McpToolBox box, open_tools(options));
  EngineOptions wanted = options.engine.engine_options(place.path);
  wanted.draft_path = draft.path;
  RAPID_TRY(auto engine, make_engine(wanted));
  Front front(std::move(engine), text, options.front);
  return talk(options, place, front, box);
}

int chat_command(const ChatOptions& options) {
  const auto done = start_chat(options);
  if (!done) {
    return report(done.error());
  }
  return *done ? kExitDone : kExitFailed;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ChatOptions>();
  options->model.add(app, ModelOption::Need::default_allowed);
  app.add_option("--system", options->system, "System text")
      ->option_text("TEXT");
  app.add_option("--max-tokens", options->max_tokens, "Limit of an answer")
      ->option_text("N")
      ->check(CLI::Range(1, 1 << 24).description(""));
  options->sampling.add(app);
  app.add_option(
         "--format", options->format, "Output format, if not by template")
      ->option_text("NAME");
  add_front_flags(app, options->front);
  options->engine.add(app);
  options->engine.add_speculation(app);
  options->engine.add_adapters(app, "A LoRA; the last one named answers");
  app.add_option(
         "--mcp",
         options->mcp_config,
         "Offer the tools of the MCP servers in FILE (~/.rapid-mlx/mcp.json); "
         "each call is asked for")
      ->option_text("[FILE]")
      ->expected(0, 1)
      ->each([options](const std::string&) { options->use_mcp = true; });
  app.add_flag("--verbose", options->verbose, "Speed after each answer");
  return [options] { return chat_command(*options); };
}

}  // namespace

void register_command_chat(CommandTable& table) {
  table.add({
      .name = "chat",
      .summary = "Talk to a model in the terminal",
      .examples = "Examples:\n"
                  "  rapid-mlx chat {model} --system \"Answer in French.\"\n"
                  "  echo \"Name three rivers.\" | rapid-mlx chat {model}\n"
                  "One line is one turn. /help in the chat lists its "
                  "commands.\n",
      .order = 11,
      .group = "Run",
      .configure = configure,
  });
}

}  // namespace rapid
