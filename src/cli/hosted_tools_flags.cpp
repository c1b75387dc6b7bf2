#include "cli/hosted_tools_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/home.h"
#include "cli/command.h"

namespace rapid {

void HostedToolsFlags::add(CLI::App& app) {
  app.add_option(
         "--mcp",
         config,
         "Run tools of the MCP servers in FILE (~/.rapid-mlx/mcp.json) for "
         "requests that ask for it: those in its alwaysAllow or --mcp-allow")
      ->option_text("[FILE]")
      ->expected(0, 1)
      ->each([this](const std::string&) { on = true; });
  app.add_option(
         "--mcp-allow",
         allow,
         "A tool that may run: server__tool, or server__* for all of one; may "
         "be repeated")
      ->option_text("TOOL")
      ->allow_extra_args(false);
  app.add_option("--mcp-rounds", limits.rounds, "Rounds of calls an answer")
      ->option_text(fmt::format("N ({})", limits.rounds))
      ->check(CLI::Range(1, 1000).description(""));
  app.add_option("--mcp-seconds", limits.seconds, "For all calls of an answer")
      ->option_text(fmt::format("SECONDS ({})", limits.seconds))
      ->check(CLI::Range(0.1, 1e6).description(""));
}

Result<std::shared_ptr<const HostedTools>> HostedToolsFlags::open(
    const McpClient::KeepGoing& keep_going) const {
  if (!on) {
    if (!allow.empty()) {
      return Error{
          ErrorCode::invalid_argument,
          "--mcp-allow without --mcp",
          "--mcp names the file with the servers"};
    }
    return std::shared_ptr<const HostedTools>();
  }
  const auto path = mcp_config_path(config);
  RAPID_TRY(const McpConfig servers, read_mcp_config(path));
  McpToolBox box = McpToolBox::open(servers, home_dir() / "logs", keep_going);
  for (const Error& error : box.trouble()) {
    report(error);
  }
  const size_t known = box.tools().size();
  auto out = std::make_shared<const HostedTools>(std::move(box), allow, limits);
  fmt::print(
      stderr,
      "{} of {} tools of MCP servers may run\n",
      out->tools().size(),
      known);
  if (out->tools().empty() && known > 0) {
    fmt::print(
        stderr,
        "hint: --mcp-allow {} allows one, alwaysAllow in {} too\n",
        out->box().tools().front().name,
        path.string());
  }
  return std::shared_ptr<const HostedTools>(std::move(out));
}

}  // namespace rapid
