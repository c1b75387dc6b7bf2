"""What coding agents send, made up from a seed: system prompts and tools of any
length, and histories as real clients send them back. Facts of the wire, such
as what changes from request to request, are those of recorded agents."""

import copy
import json
import random

VERBS = ["read", "write", "list", "search", "edit", "run", "fetch", "move",
         "watch", "plan", "ask", "test"]
NOUNS = ["file", "folder", "branch", "symbol", "process", "page", "note",
         "table", "image", "issue", "patch", "log"]
SENTENCES = [
    "Always {v} the {n} before you {w} the {m}, and say in one line why.",
    "Never {v} a {n} outside the workspace; {w} it in a copy instead.",
    "When a {n} fails to {v}, report the exact error and {w} the {m} once.",
    "Prefer to {v} many {n}s at once when they do not depend on a {m}.",
    "If the user asks you to {v} the {n}, first {w} what the {m} holds.",
    "Do not {v} comments into a {n} unless the {m} already has some to {w}.",
]


def sentence(rng):
    return rng.choice(SENTENCES).format(
        v=rng.choice(VERBS), w=rng.choice(VERBS),
        n=rng.choice(NOUNS), m=rng.choice(NOUNS))


def system_text(rng, words):
    out, count = [], 0
    while count < words:
        out.append(sentence(rng))
        count += len(out[-1].split())
        if rng.random() < 0.15:
            out.append(f"\n\n## Rule {len(out)}\n")
    return " ".join(out)


def make_tools(rng, count):
    names = [f"{verb}_{noun}" for verb in VERBS for noun in NOUNS]
    tools = []
    for name in rng.sample(names, count):
        verb, noun = name.split("_")
        tools.append({"type": "function", "function": {
            "name": name,
            "description": f"Use this to {verb} a {noun}. " + " ".join(
                sentence(rng) for _ in range(4)),
            "parameters": {"type": "object", "properties": {
                "path": {"type": "string", "maxLength": 16,
                         "description": sentence(rng)},
                "count": {"type": "integer", "minimum": 0, "maximum": 999,
                          "description": sentence(rng)},
                "force": {"type": "boolean", "description": sentence(rng)}},
                "required": ["path", "count", "force"],
                "additionalProperties": False}}})
    return tools


def tool_result(rng):
    return "\n".join(f"{rng.randrange(1, 900)}: {sentence(rng)}"
                     for _ in range(rng.randrange(1, 5)))


def user_text(rng):
    return " ".join(sentence(rng) for _ in range(rng.randrange(1, 3)))


class Agent:
    """One conversation and its client's habits.

    history: messages as they were given out. request() is what the client
    sends: every habit leaves what the model reads the same."""

    HABITS = ["billing", "marks", "flips", "arguments", "order", "ids",
              "reasoning", "content", "mid_system"]

    def __init__(self, seed, words=2200, tools=14, habits=None):
        self.rng = random.Random(seed)
        self.system = f"You are agent {seed}. " + system_text(self.rng, words)
        self.tools = make_tools(self.rng, tools)
        self.habits = self.HABITS if habits is None else habits
        self.history = []
        self.requests = 0

    def say(self, text):
        self.history.append({"role": "user", "content": text})

    def instruct(self, text):
        self.history.append({"role": "system", "content": text})

    def answer(self, message):
        """The assistant's turn as it came; results for its calls."""
        self.history.append(message)
        for call in message.get("tool_calls") or []:
            self.history.append({
                "role": "tool", "tool_call_id": call["id"],
                "content": tool_result(self.rng)})

    def request(self, **more):
        self.requests += 1
        parts = [{"type": "text", "text": self.system}]
        if "billing" in self.habits:
            parts.insert(0, {"type": "text", "text":
                             "x-anthropic-billing-header: cc_version=2.1.330."
                             f"{self.rng.randrange(4096):03x}; cch=00000;"})
        messages = [{"role": "system", "content": parts}]
        renamed = {}
        for message in self.history:
            messages.append(self.sent_back(message, renamed))
        if "marks" in self.habits:
            move_marks(messages)
        return {"model": "default", "messages": messages, "tools": self.tools,
                "temperature": 0, **more}

    def sent_back(self, message, renamed):
        out = copy.deepcopy(message)
        if out["role"] == "assistant":
            self.change_turn(out, renamed)
        elif out["role"] == "tool":
            out["tool_call_id"] = renamed.get(
                out["tool_call_id"], out["tool_call_id"])
        if "flips" in self.habits and isinstance(out.get("content"), str) \
                and out["content"] and self.rng.random() < 0.5:
            out["content"] = [{"type": "text", "text": out["content"]}]
        return out

    def change_turn(self, out, renamed):
        out.pop("refusal", None)
        if "reasoning" in self.habits:
            out.pop("reasoning_content", None)
        calls = out.get("tool_calls") or []
        if calls and "content" in self.habits and not out.get("content"):
            how = self.rng.randrange(3)
            if how == 0:
                out["content"] = ""
            elif how == 1:
                out.pop("content", None)
        for call in calls:
            arguments = json.loads(call["function"]["arguments"])
            if "order" in self.habits:
                arguments = dict(sorted(arguments.items(), reverse=True))
            if "arguments" in self.habits:
                call["function"]["arguments"] = json.dumps(
                    arguments, separators=(",", ":"))
            if "ids" in self.habits:
                renamed[call["id"]] = call["id"].replace("_", "") + "x"
                call["id"] = renamed[call["id"]]


def move_marks(messages):
    """cache_control stands on the last two messages that are lists."""
    left = 2
    for message in reversed(messages):
        if left and isinstance(message.get("content"), list):
            message["content"][-1] = {
                **message["content"][-1],
                "cache_control": {"type": "ephemeral"}}
            left -= 1
