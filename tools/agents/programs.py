"""The agents: what the registries call them, what keeps them from calling
home, and how their model would do the task with their own tools."""

import dataclasses

WORDS = {"a.txt": "alpha-4711", "b.txt": "beta-0815"}
TASK = ("Create the file {here}/made.txt with the one word hello in it. Then "
        "read {here}/a.txt and {here}/b.txt, both at once, and say what words "
        "they hold.")
ANSWER = "made.txt is there; a.txt holds alpha-4711 and b.txt beta-0815."


@dataclasses.dataclass
class Agent:
    name: str
    npm: str = ""
    pip: str = ""
    node: int = 22  # or newer; npm takes an old version for an old node
    python: tuple = (3, 11)
    profile: str = ""  # of `rapid-mlx agents`, when it is not the name
    # (tool, arguments) with {here}; none: the turns stand in `text`.
    write: tuple = ()
    read: tuple = ()
    text: str = ""
    arguments: tuple = ()  # more of them, before the task
    quiet: dict = dataclasses.field(default_factory=dict)

    def profile_name(self):
        return self.profile or self.name

    def turns(self, here):
        def call(tool, name):
            return {"name": tool[0], "arguments": {
                key: value.format(here=here, name=name)
                if isinstance(value, str) else value
                for key, value in tool[1].items()}}

        if self.text:
            return [{"output": self.text}]
        return [
            {"content": "First the file.",
             "calls": [call(self.write, "made.txt")]},
            {"content": "Now both at once.",
             "calls": [call(self.read, name) for name in WORDS]},
            {"content": ANSWER}]


FENCE = "```"
AIDER = "\n".join(
    f"{name}\n{FENCE}\n<<<<<<< SEARCH\n=======\n{text}\n>>>>>>> REPLACE\n{FENCE}\n"
    for name, text in [("made.txt", "hello"), ("second.txt", "hello, too")])

PI = dict(
    npm="@mariozechner/pi-coding-agent", node=20, profile="pi",
    write=("write", {"path": "{here}/{name}", "content": "hello\n"}),
    read=("read", {"path": "{here}/{name}"}),
    quiet={"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1",
           "PI_TELEMETRY": "0"})

AGENTS = [
    Agent(
        "codex", npm="@openai/codex",
        write=("exec_command", {"cmd": "printf 'hello\\n' > {here}/{name}"}),
        read=("exec_command", {"cmd": "cat {here}/{name}"})),
    Agent(
        "opencode", npm="opencode-ai",
        write=("write", {"filePath": "{here}/{name}", "content": "hello\n"}),
        read=("read", {"filePath": "{here}/{name}"}),
        quiet={"OPENCODE_DISABLE_AUTOUPDATE": "1",
               "OPENCODE_DISABLE_MODELS_FETCH": "1",
               "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}),
    Agent(
        "hermes", pip="hermes-agent",
        write=("write_file", {"path": "{here}/{name}", "content": "hello\n"}),
        read=("read_file", {"path": "{here}/{name}"})),
    Agent(
        "claude-code", npm="@anthropic-ai/claude-code",
        write=("Write", {"file_path": "{here}/{name}", "content": "hello\n"}),
        read=("Read", {"file_path": "{here}/{name}"}),
        quiet={"DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1",
               "IS_SANDBOX": "1"}),
    Agent("pi", **PI),
    Agent("pi-responses", **PI),
    Agent("pi-messages", **PI),
    Agent(
        "qwen-code", npm="@qwen-code/qwen-code",
        write=("write_file",
               {"file_path": "{here}/{name}", "content": "hello\n"}),
        read=("read_file", {"file_path": "{here}/{name}"}),
        quiet={"QWEN_TELEMETRY_ENABLED": "false"}),
    Agent(
        "continue", npm="@continuedev/cli",
        write=("Write", {"filepath": "{here}/{name}", "content": "hello\n"}),
        read=("Read", {"filepath": "{here}/{name}"}),
        quiet={"CONTINUE_TELEMETRY_ENABLED": "0",
               "CONTINUE_CLI_AUTO_UPDATED": "1"}),
    Agent(
        "aider", pip="aider-chat", text=AIDER,
        quiet={"AIDER_ANALYTICS": "false", "AIDER_GIT": "false",
               "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        arguments=("--edit-format", "diff")),
    Agent(
        "vibe", pip="mistral-vibe", python=(3, 12),
        write=("write_file", {"path": "{here}/{name}", "content": "hello\n"}),
        read=("read_file", {"path": "{here}/{name}"}),
        quiet={"VIBE_ENABLE_TELEMETRY": "false",
               "VIBE_ENABLE_UPDATE_CHECKS": "false"}),
    Agent(
        "openhands", pip="openhands", python=(3, 12),
        write=("file_editor", {
            "command": "create", "path": "{here}/{name}", "file_text": "hello\n",
            "security_risk": "LOW", "summary": "makes the file"}),
        read=("file_editor", {
            "command": "view", "path": "{here}/{name}", "security_risk": "LOW",
            "summary": "reads a file"}),
        quiet={"OPENHANDS_SUPPRESS_BANNER": "1"}),
]
# What every program is told.
QUIET = {"DO_NOT_TRACK": "1", "CI": "1", "NO_COLOR": "1",
         "NO_UPDATE_NOTIFIER": "1", "HF_HUB_OFFLINE": "1",
         "ANONYMIZED_TELEMETRY": "False", "OTEL_SDK_DISABLED": "true"}
