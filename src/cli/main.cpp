#include "cli/command.h"

int main(int argc, char** argv) {
  return rapid::run_cli(argc, argv);
}
