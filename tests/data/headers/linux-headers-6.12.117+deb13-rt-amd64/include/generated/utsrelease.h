#define UTS_RELEASE "6.12.117+deb13-rt-amd64"
