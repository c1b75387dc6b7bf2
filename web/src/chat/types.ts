// What the chat keeps: plain values, as they lie in the browser's database.
import type { Node } from "./tree";

export interface Call {
  id: string;
  name: string;
  arguments: string;
}

export interface TextFile {
  name: string;
  text: string;
}

export interface Stats {
  prompt: number;
  cached: number;
  completion: number;
  reasoning: number;
  ttft: number; // seconds
  decode: number; // seconds
}

// broken: the connection was lost; failed: the server said why not.
export type State = "done" | "writing" | "stopped" | "broken" | "failed";

export interface Message extends Node {
  conv: string;
  role: "user" | "assistant" | "tool";
  text: string;
  state: State;
  created: number; // seconds
  reasoning?: string;
  thought?: number; // seconds
  calls?: Call[];
  callId?: string; // role tool
  files?: TextFile[];
  model?: string;
  error?: string;
  finish?: string;
  stats?: Stats;
}

export interface Settings {
  system: string;
  temperature: string; // as typed; "" = the server's choice
  topP: string;
  topK: string;
  minP: string;
  repetition: string;
  maxTokens: string;
  seed: string;
  effort: string;
  tools: string; // JSON
}

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  next: number; // the number of the next message
  leaf: number; // what is shown ends here; -1 = nothing
  model: string;
  settings: Settings;
}

export const NO_SETTINGS: Settings = {
  system: "",
  temperature: "",
  topP: "",
  topK: "",
  minP: "",
  repetition: "",
  maxTokens: "",
  seed: "",
  effort: "",
  tools: "",
};
