#include "cli/completion_scripts.h"

#include <fmt/format.h>

#include <algorithm>

namespace rapid {
namespace {

std::string replaced(
    std::string text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos;
       at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// Inside single quotes of a POSIX shell.
std::string quoted(const std::string& text) {
  return "'" + replaced(text, "'", "'\\''") + "'";
}

std::string names_of(const std::vector<CommandDoc>& commands) {
  std::string out;
  for (const CommandDoc& command : commands) {
    out += (out.empty() ? "" : " ") + command.name;
  }
  return out;
}

std::string options_of(const CommandDoc& command) {
  std::string out;
  for (const OptionDoc& option : command.options) {
    if (!option.positional && !option.hidden) {
      for (const std::string& name : option.names) {
        out += (out.empty() ? "" : " ") + name;
      }
    }
  }
  return out;
}

bool takes(const CommandDoc& command, std::string_view positional) {
  return std::ranges::any_of(command.options, [&](const OptionDoc& option) {
    return option.positional && option.names.front() == positional;
  });
}

// What a shell runs for the words of a positional; "" = files.
std::string words_of(
    const CommandDoc& command, const std::vector<CommandDoc>& commands) {
  if (takes(command, "MODEL")) {
    return "$(rapid-mlx models --names 2>/dev/null)";
  }
  return takes(command, "COMMAND") ? names_of(commands) : "";
}

// roff takes a backslash, and a dot or a quote that begins a line, for its own.
std::string roff(std::string text) {
  text = replaced(std::move(text), "\\", "\\e");
  text = replaced(std::move(text), "-", "\\-");
  text = replaced(std::move(text), "\n.", "\n\\&.");
  text = replaced(std::move(text), "\n'", "\n\\&'");
  return text.starts_with('.') || text.starts_with('\'') ? "\\&" + text : text;
}

void add_option(std::string& out, const OptionDoc& option) {
  std::string names;
  for (const std::string& name : option.names) {
    names += (names.empty() ? "" : ", ") + name;
  }
  if (!option.value.empty() && option.value != " ") {
    names += " " + option.value;
  }
  out += fmt::format(
      ".TP\n\\fB{}\\fR\n{}\n", roff(names), roff(option.description));
}

}  // namespace

std::string bash_completion(const std::vector<CommandDoc>& commands) {
  std::string out = fmt::format(
      "# bash completion for rapid-mlx; made by `rapid-mlx completion bash`\n"
      "_rapid_mlx() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" options='' words=''\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n",
      names_of(commands));
  for (const CommandDoc& command : commands) {
    const std::string words = words_of(command, commands);
    out += fmt::format(
        "    {})\n      options='{}'\n", command.name, options_of(command));
    if (!words.empty()) {
      out += fmt::format("      words=\"{}\"\n", words);
    }
    out += "      ;;\n";
  }
  out +=
      "  esac\n"
      "  case \"$word\" in\n"
      "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
      "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")\n"
      "                  $(compgen -f -- \"$word\")) ;;\n"
      "  esac\n"
      "}\n"
      "complete -o filenames -F _rapid_mlx rapid-mlx\n";
  return out;
}

std::string zsh_completion(const std::vector<CommandDoc>& commands) {
  std::string out =
      "#compdef rapid-mlx\n"
      "# zsh completion; made by `rapid-mlx completion zsh`\n"
      "_rapid_mlx() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const CommandDoc& command : commands) {
    out += "    " + quoted(command.name + ":" + command.summary) + "\n";
  }
  out +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local name=$words[2]\n"
      "  shift words; (( CURRENT-- ))\n"
      "  case $name in\n";
  for (const CommandDoc& command : commands) {
    out += fmt::format("    {})\n      _arguments -s", command.name);
    for (const OptionDoc& option : command.options) {
      if (option.positional || option.hidden) {
        continue;
      }
      std::string text = replaced(option.description, "[", "(");
      text = replaced(std::move(text), "]", ")");
      text = replaced(std::move(text), ":", "\\:");
      for (const std::string& name : option.names) {
        out += " \\\n        " +
               quoted(fmt::format(
                   "*{}{}[{}]{}",
                   name,
                   !option.flag && name.starts_with("--") ? "=" : "",
                   text,
                   option.flag ? "" : ":value:_files"));
      }
    }
    const std::string words = words_of(command, commands);
    out +=
        " \\\n        " +
        (words.empty()
             ? quoted("*: :_files")
             : quoted(fmt::format("*: :{{ compadd -- {}; _files }}", words)));
    out += "\n      ;;\n";
  }
  out +=
      "  esac\n"
      "}\n"
      "if [ \"$funcstack[1]\" = _rapid_mlx ]; then\n"
      "  _rapid_mlx \"$@\"\n"
      "else\n"
      "  compdef _rapid_mlx rapid-mlx\n"
      "fi\n";
  return out;
}

std::string fish_completion(const std::vector<CommandDoc>& commands) {
  std::string out =
      "# fish completion for rapid-mlx; made by `rapid-mlx completion fish`\n";
  const auto fish = [](const std::string& text) {
    return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
  };
  for (const CommandDoc& command : commands) {
    out += fmt::format(
        "complete -c rapid-mlx -f -n __fish_use_subcommand -a {} -d {}\n",
        command.name,
        fish(command.summary));
    const std::string when =
        fish("__fish_seen_subcommand_from " + command.name);
    for (const OptionDoc& option : command.options) {
      if (option.positional || option.hidden) {
        continue;
      }
      out += fmt::format("complete -c rapid-mlx -n {}", when);
      for (const std::string& name : option.names) {
        out += name.starts_with("--") ? " -l " + name.substr(2)
                                      : " -s " + name.substr(1);
      }
      out += fmt::format(
          "{} -d {}\n", option.flag ? "" : " -r", fish(option.description));
    }
    const std::string words = words_of(command, commands);
    if (!words.empty()) {
      out += fmt::format(
          "complete -c rapid-mlx -n {} -a {}\n",
          when,
          fish(words.starts_with("$(") ? "(rapid-mlx models --names)" : words));
    }
  }
  return out;
}

std::string man_page(
    const std::vector<CommandDoc>& commands, const std::string& version) {
  std::string out = fmt::format(
      ".TH RAPID\\-MLX 1 \"\" \"rapid\\-mlx {}\" \"User Commands\"\n"
      ".SH NAME\nrapid\\-mlx \\- local language models for agents\n"
      ".SH SYNOPSIS\n\\fBrapid\\-mlx\\fR \\fICOMMAND\\fR [\\fIMODEL\\fR] "
      "[\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\nServes language models of this machine over HTTP, or "
      "talks to them in the terminal. A MODEL is a short name, org/name of the "
      "Hugging Face hub, a folder or a .gguf file.\n"
      ".SH COMMANDS\n",
      version);
  for (const CommandDoc& command : commands) {
    out +=
        fmt::format(".SS {}\n{}.\n", roff(command.name), roff(command.summary));
    for (const OptionDoc& option : command.options) {
      if (!option.hidden) {
        add_option(out, option);
      }
    }
    if (!command.examples.empty()) {
      out += fmt::format(".PP\n.nf\n{}.fi\n", roff(command.examples));
    }
  }
  out +=
      ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong use.\n"
      ".SH ENVIRONMENT\n.TP\n\\fBRAPID_MLX_HOME\\fR\nWhere models and caches "
      "lie (~/.rapid\\-mlx).\n"
      ".TP\n\\fBRAPID_MLX_API_KEY\\fR\nThe key of a server.\n"
      ".TP\n\\fBHF_ENDPOINT\\fR, \\fBHF_TOKEN\\fR\nThe hub that models come "
      "from, and its token.\n"
      ".SH FILES\n.TP\n~/.rapid\\-mlx/config.json\nDefaults of options "
      "(rapid\\-mlx config).\n"
      ".TP\n~/.rapid\\-mlx/aliases.json\nYour names of models (rapid\\-mlx "
      "alias).\n";
  return out;
}

}  // namespace rapid
