#!/bin/sh
# The manual pages as a site: every page of BUILDDIR as HTML, checked by mandoc and groff.
# A warning of either is a failure.  usage: tools/docs.sh BUILDDIR [OUTDIR]
set -eu
build=$1
out=${2:-$build/docs}
here=$(dirname "$0")
pages=$(find "$build" -maxdepth 1 -name '*.[1-8]' -type f | sort)
[ -n "$pages" ] || { echo "docs: no pages in $build" >&2; exit 1; }
rm -rf "$out"
mkdir -p "$out"
cp "$here/docs.css" "$out"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for page in $pages; do
	name=$(basename "$page")
	mandoc -T lint -W warning "$page" >>"$log" 2>&1 || :
	groff -man -ww -z "$page" >>"$log" 2>&1 || :
	mandoc -T html -O style=docs.css,man=%N.%S.html "$page" > "$out/$name.html"
done
if [ -s "$log" ]; then
	cat "$log" >&2
	exit 1
fi
{
	echo '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>prong</title>'
	echo '<link rel="stylesheet" href="docs.css"></head><body><h1>prong</h1><table>'
	for page in $pages; do
		name=$(basename "$page")
		about=$(mandoc -T utf8 "$page" | col -b | sed -n '/^NAME/{n;:a;/^ *$/q;s/^ *//;p;n;ba}' |
			tr '\n' ' ' | sed 's/^.* [–-] //; s/&/\&amp;/g; s/</\&lt;/g')
		echo "<tr><td><a href=\"$name.html\">${name%.*}(${name##*.})</a></td><td>$about</td></tr>"
	done
	echo '</table></body></html>'
} > "$out/index.html"
# No link leads nowhere, but to pages of the system.
for link in $(grep -ho 'href="prong[^"#]*\.html' "$out"/*.html | sed 's/href="//' | sort -u); do
	[ -f "$out/$link" ] || { echo "docs: $link is linked and missing" >&2; exit 1; }
done
echo "$out/index.html: $(echo "$pages" | wc -l) pages"
