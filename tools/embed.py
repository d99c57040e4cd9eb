"""A text file as C: embed.py FILE NAME > FILE.c; an array, since strings may not be long."""
import sys

path, name = sys.argv[1:3]
with open(path, "rb") as file:
    data = file.read() + b"\0"
print(f"/* made by tools/embed.py */\nextern const char {name}[];\nconst char {name}[] = {{")
for i in range(0, len(data), 16):
    print("\t" + " ".join(f"{byte}," for byte in data[i:i + 16]))
print("};")
