# cmake -DFROM=<cargo's .d> -DTO=<depfile> -DNAME=<output> -P this: the same
# dependencies under the name of the output that Ninja knows.
file(READ ${FROM} text)
string(REGEX REPLACE "^[^\n]*\\.a: " "${NAME}: " text "${text}")
file(WRITE ${TO} "${text}")
